/** What rounds found is told: by round, as a table, and in the file of recorded runs. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isGood, kindsNamed } from './campaign.ts'
import type { Verdict } from './checker.ts'
import { KINDS } from './kinds.ts'
import { roundText, table } from './report.ts'
import { recordResults } from './results.ts'
import type { RoundResult } from './round.ts'

const NONE = {
  lost: 0,
  undone: 0,
  wentBack: 0,
  notConverged: 0,
  notLinearizable: 0,
  unexplained: 0,
}

function verdict(counts: Partial<Verdict['counts']> = {}): Verdict {
  const evidence = [
    { kind: 'lost', key: 'items/1', text: 'is gone', lines: ['line 2: set'] },
  ] as const
  const isEmpty = Object.keys(counts).length === 0
  return {
    counts: { ...NONE, ...counts },
    figures: { acknowledged: 100, unanswered: 2 },
    evidence: isEmpty ? [] : evidence,
  }
}

function result(more: Partial<RoundResult> = {}): RoundResult {
  const good = { kind: 'star', seed: 7, verdict: verdict(), equalMs: 400, error: undefined }
  return { ...good, kept: undefined, notes: [], ...more }
}

const LOST = result({ verdict: verdict({ lost: 2 }), kept: '/tmp/kept', equalMs: undefined })
const BROKEN = result({ kind: 'tree', verdict: undefined, error: 'no port', equalMs: undefined })

describe('a round', () => {
  it('is good when it came to its end and nothing was found', () => {
    expect([result(), LOST, BROKEN].map(isGood)).toEqual([true, false, false])
  })

  it('is told with what was found, the evidence, and where the history is', () => {
    expect(roundText(result())).toBe(
      'star, seed 7: good; equal after 400 ms, acknowledged 100, unanswered 2',
    )
    expect(roundText(LOST).split('\n')).toEqual([
      'star, seed 7: lost 2; never equal, acknowledged 100, unanswered 2',
      '  lost items/1: is gone',
      '    line 2: set',
      '  history, verdict and logs: /tmp/kept',
    ])
    expect(roundText(BROKEN)).toContain('failed; never equal\n  no port')
  })
})

describe('the table', () => {
  it('has a row for each kind, with the sums of its rounds', () => {
    const rows = table([result(), LOST, BROKEN]).split('\n').slice(2)
    expect(rows).toEqual([
      '| star | 2 | 200 | 4 | never | 0 | 2 | 0 | 0 | 0 | 0 | 0 |',
      '| tree | 1 | 0 | 0 | never | 1 | 0 | 0 | 0 | 0 | 0 | 0 |',
    ])
    expect(table([result()])).toContain('| 0.4 s |')
  })
})

describe('recorded runs', () => {
  it('stand in one file, the newest first, under one head', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ooo-results-'))
    try {
      const file = join(folder, 'RESULTS.md')
      const options = { kinds: [], roundSeconds: 15, keep: folder, majority: 'auto' } as const
      recordResults({ ...options, minutes: 10, seed: 1 }, [result()], file)
      recordResults({ ...options, minutes: 60, seed: 2 }, [LOST], file)
      const text = readFileSync(file, 'utf8')
      expect(text.match(/^# .*$/gm)).toEqual(['# Recorded runs of histories'])
      const runs = text.match(/^## .*, \d+ minutes$/gm)?.map((head) => head.split(', ').at(-1))
      expect(runs).toEqual(['60 minutes', '10 minutes'])
      expect(text.match(/^\| star .*$/gm)).toHaveLength(2)
      expect(text).toMatch(/^Commit [0-9a-f]+.*; seed 2, faults of 15 s per round; Node v/m)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('kinds', () => {
  it('are chosen by name; without one, all of them', () => {
    expect(kindsNamed('tree,star').map(({ name }) => name)).toEqual(['tree', 'star'])
    expect(() => kindsNamed('bush')).toThrow(/bush; there are star, tree, /)
    expect(new Set(KINDS.map(({ name }) => name)).size).toBe(KINDS.length)
    expect(kindsNamed(undefined)).toEqual(KINDS)
  })
})
