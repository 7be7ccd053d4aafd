/** What is said before a package is installed for tests, and what turns the installing off. */
import { describe, expect, it } from 'vitest'
import { type AptMachine, installWithApt, PACKAGES } from './apt.ts'

function machineOf(given: Partial<AptMachine>): { machine: AptMachine; events: string[] } {
  const events: string[] = []
  const machine: AptMachine = {
    isRootOnDebian: true,
    env: {},
    run: (command) => events.push(command.join(' ')),
    say: (text) => events.push(text),
    ...given,
  }
  return { machine, events }
}

describe('installing what tests need', () => {
  it('says what and why, and how to turn it off, before it runs apt-get', () => {
    const { machine, events } = machineOf({})
    expect(installWithApt('redis-server', machine)).toBe(true)
    expect(events).toEqual([
      `redis-server: not found, installing it with apt-get: ${PACKAGES['redis-server']} (OOO_TEST_INSTALL=never turns this off)`,
      expect.stringMatching(/^apt-get update /),
      expect.stringMatching(/^apt-get install -y .* redis-server$/),
    ])
  })

  it('runs nothing with OOO_TEST_INSTALL=never, and says why the package is not there', () => {
    const { machine, events } = machineOf({ env: { OOO_TEST_INSTALL: 'never' } })
    expect(installWithApt('redis-server', machine)).toBe(false)
    expect(events).toEqual(['redis-server: not found, and not installed: OOO_TEST_INSTALL=never'])
  })

  it('refuses a setting that it does not know, so that a slip of the pen installs nothing', () => {
    const { machine, events } = machineOf({ env: { OOO_TEST_INSTALL: 'no' } })
    expect(() => installWithApt('redis-server', machine)).toThrow(
      'OOO_TEST_INSTALL: "no" is not allowed; give never, or leave it out',
    )
    expect(events).toEqual([])
  })

  it('does and says nothing where it may not install', () => {
    const { machine, events } = machineOf({ isRootOnDebian: false })
    expect(installWithApt('redis-server', machine)).toBe(false)
    expect(events).toEqual([])
  })

  it('says so when apt-get fails', () => {
    const run = (): never => {
      throw new Error('no network')
    }
    const { machine, events } = machineOf({ run })
    expect(installWithApt('redis-server', machine)).toBe(false)
    expect(events.at(-1)).toBe('redis-server: apt-get failed: no network')
  })
})
