import { describe, expect, it } from 'vitest'
import type { LogFields, Logger } from '../../../src/core/ports/logger.ts'
import { onceAMinute } from '../../../src/core/ports/once-a-minute.ts'
import { FakeTime } from '../../support/fake-time.ts'

type Line = [level: string, message: string, fields: LogFields | undefined]

function rig(): { time: FakeTime; lines: Line[]; log: Logger } {
  const time = new FakeTime()
  const lines: Line[] = []
  const at =
    (level: string) =>
    (message: string, fields?: LogFields): void => {
      lines.push([level, message, fields])
    }
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  return { time, lines, log: onceAMinute(logger, time) }
}

describe('a log of what clients bring about', () => {
  it('has the first line at once, and then one a minute with how many were left out', () => {
    const { time, lines, log } = rig()
    for (let second = 0; second < 150; second++) {
      log.warn('refused', { key: `k${second}` })
      time.advance(1000)
    }
    expect(lines).toEqual([
      ['warn', 'refused', { key: 'k0' }],
      ['warn', 'refused', { key: 'k60', leftOut: 59 }],
      ['warn', 'refused', { key: 'k120', leftOut: 59 }],
    ])
  })

  it('tells kinds apart by message, code, hook and address, not by what peers choose', () => {
    const { lines, log } = rig()
    for (let i = 0; i < 3; i++) {
      log.warn('failed', { code: 'overloaded', error: `${i}` })
      log.warn('failed', { code: 'deadline', error: `${i}` })
      log.error('a hook failed', { hook: 'afterWrite', error: 'first fault', key: `${i}` })
      log.error('a hook failed', { hook: 'afterWrite', error: 'another fault', key: `${i}` })
      log.error('other', { from: `peer ${i}` })
      log.info('joins', { address: '10.0.0.1', follower: `f${i}` })
      log.info('joins', { address: '10.0.0.2', follower: `f${i}` })
    }
    expect(
      lines.map(([, message, fields]) => [
        message,
        fields?.code ?? fields?.hook ?? fields?.address,
      ]),
    ).toEqual([
      ['failed', 'overloaded'],
      ['failed', 'deadline'],
      ['a hook failed', 'afterWrite'],
      ['a hook failed', 'afterWrite'],
      ['other', undefined],
      ['joins', '10.0.0.1'],
      ['joins', '10.0.0.2'],
    ])
  })

  it('keeps a bounded number of kinds: the rest counts as one', () => {
    const { time, lines, log } = rig()
    for (let i = 0; i < 1000; i++) log.warn(`kind ${i}`)
    expect(lines).toHaveLength(201)
    time.advance(60_000)
    for (let i = 0; i < 1000; i++) log.warn(`later ${i}`)
    expect(lines).toHaveLength(403)
    expect(lines.at(200)).toEqual(['warn', 'kind 200', undefined])
    expect(lines.at(402)).toEqual(['warn', 'later 201', undefined])
  })

  it('leaves what is for debugging as it is', () => {
    const { lines, log } = rig()
    for (let i = 0; i < 3; i++) log.debug('seen')
    expect(lines).toHaveLength(3)
  })
})
