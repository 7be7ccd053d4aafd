import pg from 'pg'
import { describe, expect, it } from 'vitest'
import type { PostgresTables, TableChange, TableCursor } from '../../postgres/index.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { compareRecords } from '../../src/core/data/merge.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { usePostgres } from '../support/services.ts'
import { waitFor } from '../support/wait.ts'
import { openTables } from './table-fixtures.ts'

const postgres = usePostgres({ control: true })

/** Collects the changes of a watch until it ends. */
function follow(
  tables: PostgresTables,
  table: string,
  options: { after?: TableCursor; path?: string; pageSize?: number } = {},
): { seen: TableChange[]; ended: Promise<void>; end(): Promise<void> } {
  const stop = new AbortController()
  const seen: TableChange[] = []
  const ended = (async () => {
    for await (const change of tables.watch(table, { ...options, signal: stop.signal })) {
      seen.push(change)
    }
  })()
  ended.catch(() => undefined)
  return {
    seen,
    ended,
    end: () => {
      stop.abort()
      return ended
    },
  }
}

async function start(tables: PostgresTables, table: string): Promise<TableCursor> {
  return (await tables.changes(table, 0, 1)).through
}

describe('a watch', () => {
  it('tells each change soon, with the newest state of its key', async () => {
    const api = await openTables(await postgres().createDatabase(), { watchIntervalMs: 600_000 })
    await api.createTable('t')
    await api.set('t', 'before', '1')
    const all = follow(api, 't')
    const some = follow(api, 't', { path: 'a/*' })
    // Nothing tells that a watch has begun but what it sees.
    await waitFor(async () => {
      await api.set('t', 'a/probe', '0')
      return all.seen.length > 0 && some.seen.length > 0
    })
    const stamp = await api.set('t', 'a/1', '{"x":1.0}')
    await api.set('t', 'b/1', '2')
    await api.delete('t', 'b/*')
    await waitFor(() => all.seen.at(-1)?.record.kind === 'tombstone')
    const keys = all.seen.map(({ record }) => record.key)
    expect(keys).not.toContain('before')
    expect(all.seen.find(({ record }) => record.key === 'a/1')?.record).toEqual({
      kind: 'entry',
      key: 'a/1',
      created: stamp,
      updated: 0n,
      origin: 'sql',
      data: '{"x":1.0}',
    })
    await waitFor(() => some.seen.some(({ record }) => record.key === 'a/1'))
    expect(some.seen.every(({ record }) => record.key.startsWith('a/'))).toBe(true)
    await Promise.all([all.end(), some.end()])
  })

  it('skips nothing while many connections write, small pages and large', async () => {
    const url = await postgres().createDatabase()
    const apis = await Promise.all([openTables(url), openTables(url), openTables(url)])
    const [reader] = apis
    await reader.createTable('t')
    const after = await start(reader, 't')
    const watches = [1, 7, 500].map((pageSize) => follow(reader, 't', { after, pageSize }))
    const writes = Array.from({ length: 30 }, async (_, writer) => {
      const api = apis[writer % apis.length] ?? reader
      for (let i = 0; i < 20; i++) {
        const keys = Array.from({ length: 1 + (i % 3) }, (__, k) => `w/${writer}-${i}-${k}`)
        await api.setBatch(
          't',
          keys,
          keys.map((key) => `"${key}"`),
        )
        if (i % 5 === 4) await api.delete('t', `w/${writer}-${i - 1}-*`)
      }
    })
    await Promise.all(writes)
    const end = await reader.changes('t', 0, 100_000)
    for (const { seen, end: stop } of watches) {
      await waitFor(() => seen.at(-1)?.cursor.seq === end.changes.at(-1)?.cursor.seq, {
        deadlineMs: 60_000,
      })
      const seqs = seen.map(({ cursor }) => cursor.seq)
      expect(seqs).toEqual([...seqs].sort((a, b) => a - b))
      // The last that was seen of each key is what the table holds of it.
      const last = new Map(seen.map(({ record }) => [record.key, record]))
      expect(last).toEqual(new Map(end.changes.map(({ record }) => [record.key, record])))
      await stop()
    }
  })

  it('sees a change whose transaction began early and ended late', async () => {
    const url = await postgres().createDatabase()
    const api = await openTables(url, { watchIntervalMs: 50 })
    await api.createTable('t')
    const watch = follow(api, 't', { after: await start(api, 't') })
    const slow = new pg.Client({ connectionString: url })
    await slow.connect()
    await slow.query('BEGIN')
    await slow.query("SELECT ooo_set('t', ARRAY['slow'], ARRAY['1'], 'slow')")
    const fast = api.set('t', 'fast', '1')
    await slow.query("SELECT ooo_set('t', ARRAY['slow2'], ARRAY['1'], 'slow')")
    expect(watch.seen).toEqual([])
    await slow.query('COMMIT')
    await slow.end()
    await fast
    await waitFor(() => watch.seen.length === 3)
    expect(watch.seen.map(({ record }) => record.key)).toEqual(['slow', 'slow2', 'fast'])
    await watch.end()
  })

  it('goes on from its cursor after the server was killed', async () => {
    const url = await postgres().createDatabase()
    const api = await openTables(url, { watchIntervalMs: 100 })
    await api.createTable('t')
    const watch = follow(api, 't', { after: await start(api, 't') })
    const seen = (key: string): boolean => watch.seen.some(({ record }) => record.key === key)
    for (let round = 0; round < 3; round++) {
      await api.set('t', `k/${round}`, `${round}`)
      await waitFor(() => seen(`k/${round}`))
      await postgres().control.kill()
      // A write that was under way may fail; one that finds no server waits for it.
      const late = api.set('t', `late/${round}`, '1').catch(() => undefined)
      await postgres().control.start()
      await late
      await api.set('t', `late/${round}`, '2')
      await waitFor(() => seen(`late/${round}`), { deadlineMs: 60_000 })
    }
    await watch.end()
  })

  it('refuses a cursor whose deletes were forgotten or whose table was made anew', async () => {
    const api = await openTables(await postgres().createDatabase())
    await api.createTable('t')
    await api.set('t', 'a', '1')
    const after = await start(api, 't')
    await api.delete('t', 'a')
    await api.set('t', 'b', '1')
    await api.compact('t', 0)
    await expect(follow(api, 't', { after }).ended).rejects.toMatchObject({
      code: 'precondition_failed',
    })
    const { through } = await api.changes('t', 0)
    await api.dropTable('t')
    await api.createTable('t')
    await api.setBatch('t', ['a', 'b', 'c', 'd'], ['1', '1', '1', '1'])
    await expect(follow(api, 't', { after: through }).ended).rejects.toMatchObject({
      code: 'precondition_failed',
    })
    await expect(follow(api, 'none').ended).rejects.toMatchObject({ code: 'not_found' })
  })

  it('ends with the tables it watches', async () => {
    const api = await openTables(await postgres().createDatabase(), { watchIntervalMs: 600_000 })
    await api.createTable('t')
    const watch = follow(api, 't', { after: await start(api, 't') })
    await api.set('t', 'a', '1')
    await waitFor(() => watch.seen.length === 1)
    await api.close()
    await watch.ended
  })
})

describe('pages of changes', () => {
  it('hold about as many bytes as asked for, and at least one change', async () => {
    const api = await openTables(await postgres().createDatabase())
    await api.createTable('t')
    for (let i = 0; i < 10; i++) await api.set('t', `k/${i}`, `"${'x'.repeat(1000)}"`)
    let seq = 0
    const sizes: number[] = []
    for (let rounds = 0; rounds < 20 && seq < 10; rounds++) {
      const page = await api.changes('t', seq, 500, 2500)
      sizes.push(page.changes.length)
      seq = page.through.seq
    }
    expect(sizes).toEqual([3, 3, 3, 1])
    expect((await api.changes('t', 0, 500, 1)).changes).toHaveLength(1)
    expect((await api.changes('t', 0, 4)).through.seq).toBe(4)
  })
})

describe('merging records', () => {
  it.each([1, 2, 3])('keeps the winner whatever the order, seed %i', async (seed) => {
    const random = new SeededRandom(seed)
    const api = await openTables(await postgres().createDatabase())
    await api.createTable('t')
    const winners = new Map<string, StoredRecord>()
    for (let round = 0; round < 60; round++) {
      const batch = new Map<string, StoredRecord>()
      for (let i = 0; i < 8; i++) {
        const key = `k/${random.below(6)}`
        const created = BigInt(random.below(6))
        const origin = random.pick(['a', 'B', 'b', 'aa'])
        batch.set(
          key,
          random.chance(0.4)
            ? { kind: 'tombstone', key, deleted: created, origin }
            : {
                kind: 'entry',
                key,
                created,
                updated: BigInt(random.below(6)),
                origin,
                data: `"${round}"`,
              },
        )
      }
      await api.merge('t', [...batch.values()])
      for (const [key, record] of batch) {
        const held = winners.get(key)
        if (held === undefined || compareRecords(held, record) < 0) winners.set(key, record)
      }
    }
    const { changes } = await api.changes('t', 0)
    const held = new Map(changes.map(({ record }) => [record.key, record]))
    expect(held).toEqual(winners)
  })
})
