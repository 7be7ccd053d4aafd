/** A node that is killed while records are restored into it, or right after: what was counted is there. */
import { expect, it } from 'vitest'
import { waitFor } from '../support/wait.ts'
import { BackupBench, read } from './backup-bench.ts'

const bench = BackupBench.use()
const RECORDS = 300
/** Each part of a restore takes ten of them. */
const VALUE_BYTES = 100_000

/** A backup of `RECORDS` entries. */
async function makeBackup(name: string): Promise<void> {
  const server = await bench.serve('old')
  const filler = 'x'.repeat(VALUE_BYTES)
  for (let i = 0; i < RECORDS; i++) {
    await server.store.set(`items/${String(i).padStart(4, '0')}`, `{"filler":"${filler}"}`)
  }
  await server.close()
  const made = await bench.ooo('backup', '--data', 'old', name)
  expect(made.code, made.stderr).toBe(0)
}

/** The numbers that a restore printed. */
function countsOf(stderr: string): { applied: number; equal: number; superseded: number } {
  const count = (pattern: RegExp): number => Number(pattern.exec(stderr)?.[1] ?? 0)
  return {
    applied: count(/(\d+) records? applied/),
    equal: count(/(\d+) (?:was|were) there already/),
    superseded: count(/(\d+) (?:was|were) superseded/),
  }
}

it.each(['process', 'memory'])(
  'a killed node of durability %s holds what was counted',
  { timeout: 240_000 },
  async (durability) => {
    await makeBackup('x.ooo')
    const args = ['--durability', durability]
    const first = await bench.startNode('new', args)
    const restore = bench.start(['restore', 'x.ooo', '--url', first.url])
    const hasBegun = async (): Promise<boolean> =>
      (await fetch(`${first.url}/items/0020`, { method: 'HEAD' })).status === 200
    await waitFor(hasBegun, { deadlineMs: 60_000, intervalMs: 1 })
    await first.node.dispose()
    const cut = await restore.ended
    expect(cut.code).toBe(1)
    const before = Number(/\((\d+) records were taken before/.exec(cut.stderr)?.[1])
    expect(before).toBeGreaterThan(0)
    expect(before).toBeLessThan(RECORDS)

    const second = await bench.startNode('new', args)
    const held = JSON.parse(await read(second.url, 'items/*')) as unknown[]
    expect(held.length).toBeGreaterThanOrEqual(before)
    const again = await bench.ooo('restore', 'x.ooo', '--url', second.url)
    await second.node.dispose()
    expect(again.code, again.stderr).toBe(0)
    expect(countsOf(again.stderr)).toEqual({
      applied: RECORDS - held.length,
      equal: held.length,
      superseded: 0,
    })

    const third = await bench.startNode('new', args)
    expect(JSON.parse(await read(third.url, 'items/*'))).toHaveLength(RECORDS)
    const last = await bench.ooo('restore', 'x.ooo', '--url', third.url)
    expect(countsOf(last.stderr)).toEqual({ applied: 0, equal: RECORDS, superseded: 0 })
  },
)
