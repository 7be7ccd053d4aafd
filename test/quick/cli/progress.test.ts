import { expect, test } from 'vitest'
import { createProgress, formatBytes, formatCount, plural } from '../../../cli/terminal/progress.ts'

/** A progress on a clock of its own, and what it wrote. */
function recorded(options: { readonly isTerminal: boolean; readonly total?: number }) {
  const written: string[] = []
  const clock = { ms: 0 }
  const progress = createProgress({
    label: 'work',
    ...options,
    write: (text) => written.push(text),
    now: () => clock.ms,
  })
  return { progress, written, clock }
}

test('what is done at once shows nothing', () => {
  const { progress, written, clock } = recorded({ isTerminal: true, total: 10 })
  clock.ms = 99
  progress.update(5, 'half')
  progress.finish()
  expect(written).toEqual([])
})

test('a terminal has one line, drawn again and wiped at the end', () => {
  const { progress, written, clock } = recorded({ isTerminal: true, total: 200 })
  clock.ms = 100
  progress.update(100, '1,000 records')
  progress.update(101, 'too soon')
  clock.ms = 200
  progress.update(200, 'all')
  progress.finish()
  expect(written).toHaveLength(3)
  expect(written[0]).toBe('\rwork: [############............] 50%  1,000 records')
  expect(written[1]).toMatch(/^\rwork: \[#{24}\]100% {2}all +$/)
  expect(written[2]).toMatch(/^\r +\r$/)
})

test('elsewhere it is plain lines, far apart', () => {
  const { progress, written, clock } = recorded({ isTerminal: false, total: 200 })
  for (clock.ms = 0; clock.ms <= 10_000; clock.ms += 100) progress.update(clock.ms / 100, 'records')
  progress.finish()
  expect(written).toEqual(['work: 25%, records\n', 'work: 50%, records\n'])
})

test('without a total there is no share', () => {
  const { progress, written, clock } = recorded({ isTerminal: false })
  clock.ms = 5000
  progress.update(7, '7 records')
  expect(written).toEqual(['work: 7 records\n'])
})

test('numbers are for people', () => {
  expect([0, 999, 1000, 1_234_567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567'])
  expect([0, 999, 1500, 2.5e6, 7e12].map(formatBytes)).toEqual([
    '0 bytes',
    '999 bytes',
    '1.5 kB',
    '2.5 MB',
    '7.0 TB',
  ])
  expect([plural(1, 'entry', 'entries'), plural(2, 'entry', 'entries')]).toEqual([
    '1 entry',
    '2 entries',
  ])
})
