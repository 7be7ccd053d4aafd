/** A wrong clock is wrong for one process, jumps while it runs, and leaves the monotonic clock alone. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { findFaketime, WrongClock } from './wrong-clock.ts'

const TEN_YEARS_S = 3650 * 86_400
const obstacle = 'libfaketime is needed (Debian: apt install faketime)'
let library: string | undefined
let folder = ''

beforeAll(() => {
  library = findFaketime()
  if (library === undefined && process.env.CI === 'true') throw new Error(obstacle)
  folder = mkdtempSync(join(tmpdir(), 'ooo-clock-'))
}, 300_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
beforeEach((context) => {
  if (library === undefined) context.skip(obstacle)
})

/** Prints its wall clock and its monotonic clock, in milliseconds, again and again. */
const PROGRAM = `
  const began = process.hrtime.bigint()
  setInterval(() => console.log(Date.now(), Number(process.hrtime.bigint() - began) / 1e6), 20)
`

it('is ahead, and behind after a jump, while monotonic time passes as it does', async () => {
  const clock = new WrongClock(library, join(folder, 'clock'))
  clock.set(90)
  const began = performance.now()
  const child = spawn(process.execPath, ['-e', PROGRAM], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH ?? '', ...clock.environment },
  })
  let offsetS = Number.NaN
  let monotonicMs = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const [wall = 0, monotonic = 0] = (text.trim().split('\n').at(-1) ?? '').split(' ').map(Number)
    offsetS = (wall - Date.now()) / 1000
    expect(monotonic).toBeGreaterThanOrEqual(monotonicMs)
    monotonicMs = monotonic
  })
  try {
    await waitFor(() => Math.abs(offsetS - 90) < 5, { what: 'a clock that is ahead' })
    clock.set(-TEN_YEARS_S)
    await waitFor(() => Math.abs(offsetS + TEN_YEARS_S) < 5, { what: 'a clock that is behind' })
    expect(monotonicMs).toBeLessThan(performance.now() - began + 1000)
  } finally {
    child.kill('SIGKILL')
  }
})

it('is right where there is no library, and says so when it should not be', () => {
  const clock = new WrongClock(undefined, join(folder, 'none'))
  expect(clock.environment).toEqual({})
  expect(() => clock.set(1)).toThrow(/libfaketime/)
})
