/** A storage that hangs: writes wait for it within bounds, and go on by themselves when it answers again. */
import { describe, expect, it } from 'vitest'
import { HybridClock } from '../../../src/core/data/clock.ts'
import type { Entry } from '../../../src/core/data/entry.ts'
import { isStateError } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { Durability } from '../../../src/core/ports/storage-adapter.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { HangingStorage } from '../../support/hanging-storage.ts'
import { openStore } from '../../support/store.ts'
import { waitFor } from '../../support/wait.ts'

const MIB = 1024 * 1024

/** JSON text of this many bytes. */
function text(bytes: number): string {
  return `"${'x'.repeat(bytes - 2)}"`
}

function entry(key: string, bytes: number): Entry {
  return { kind: 'entry', key, created: 5n, updated: 0n, origin: 'peer', data: text(bytes) }
}

const sizes = [
  ['everything in memory', {}],
  ['no cache', { cacheBytes: 0 }],
] as const

describe.each(sizes)('a storage that hangs, %s', (_name, options) => {
  it('holds a bounded number of bytes, refuses the rest, and then makes every write it took', async () => {
    const adapter = new HangingStorage()
    const store = await openStore({ ...options, adapter, maxWaitingBytes: 8 * MIB })
    adapter.hang()
    const keys = Array.from({ length: 100 }, (_, i) => `k/${i}`)
    const writes = Promise.allSettled(keys.map((key) => store.set(key, text(MIB))))
    // The batch under way counts too.
    expect(store.backlog.bytes).toBeLessThanOrEqual(8 * MIB)
    expect(store.backlog).toMatchObject({ writes: 7, refused: 93 })
    // What holds nothing is not refused for its bytes, or a full node could not keep its own books.
    const meta = store.saveMeta(new Map([['cursor', '1']]))
    adapter.goOn()
    const results = await writes
    await meta
    const made = keys.filter((_, i) => results[i]?.status === 'fulfilled')
    for (const result of results) {
      if (result.status === 'fulfilled') continue
      expect(isStateError(result.reason, 'overloaded')).toBe(true)
      expect(result.reason.message).toMatch(
        /^storage: writes of \d+ bytes are waiting, the limit is 8388608$/,
      )
    }
    expect(made).toHaveLength(7)
    expect(store.backlog).toMatchObject({ writes: 0, bytes: 0 })
    await store.close()
    await store.open()
    expect((await store.keys()).sort()).toEqual(made.sort())
    // It takes as much again.
    await store.set('k/after', text(MIB))
    await store.close()
  })

  it('takes one write that is greater than the bound, when nothing waits', async () => {
    const store = await openStore({
      ...options,
      adapter: new HangingStorage(),
      maxWaitingBytes: 1000,
    })
    await store.set('k/great', text(5000))
    expect((await store.get('k/great'))?.data.length).toBe(5000)
    await store.close()
  })

  it('counts deletes and patches, and refuses those too', async () => {
    const adapter = new HangingStorage()
    const store = await openStore({ ...options, adapter, maxWaitingBytes: 4000 })
    await store.set('doc', '{}')
    adapter.hang()
    const first = store.set('k', text(3600))
    const change = (): string => '{"a":1}'
    const patch = { op: 'update', key: 'doc', change, changeBytes: 2000 } as const
    await expect(store.write([patch])).rejects.toMatchObject({ code: 'overloaded' })
    await expect(store.delete('doc')).rejects.toMatchObject({ code: 'overloaded' })
    adapter.goOn()
    await first
    await store.delete('doc')
    await store.close()
  })

  it('lets what other nodes send wait for room, in its order and beside the clients', async () => {
    const adapter = new HangingStorage()
    const store = await openStore({ ...options, adapter, maxWaitingBytes: 4 * MIB })
    adapter.hang()
    const own = store.set('own', text(MIB))
    const merges = Array.from({ length: 20 }, (_, i) =>
      store.merge([entry('same', 1000 + i), entry(`m/${i}`, MIB)], {
        source: 'peer',
        notAfter: 10n,
      }),
    )
    // Neither keeps the other out.
    const also = store.set('also', text(MIB))
    await waitFor(() => store.backlog.writes === 22)
    expect(store.backlog.bytes).toBeLessThanOrEqual(8 * MIB)
    adapter.goOn()
    const outcomes = await Promise.all(merges)
    expect(outcomes.map(([, second]) => second)).toEqual(outcomes.map(() => 'applied'))
    await Promise.all([own, also])
    expect(await store.keys('m/')).toHaveLength(20)
    expect(store.backlog).toMatchObject({ writes: 0, bytes: 0, refused: 0 })
    await store.close()
  })
})

describe('batches for the adapter', () => {
  it('have 8 MiB at most, of small requests that make great documents too', async () => {
    const adapter = new HangingStorage()
    const store = await openStore({ adapter })
    adapter.hang()
    const head = store.set('head', '1')
    const great = text(MIB)
    const writes = Array.from({ length: 30 }, (_, i) => store.set(`k/${i}`, great))
    adapter.goOn()
    await Promise.all([head, ...writes])
    expect(adapter.greatest).toBeLessThan(8 * MIB + 10_000)
    adapter.hang()
    const again = store.set('head', '2')
    const patches = Array.from({ length: 30 }, (_, i) =>
      store.update(`k/${i}`, () => text(MIB + i)),
    )
    adapter.goOn()
    await Promise.all([again, ...patches])
    expect(adapter.greatest).toBeLessThan(9 * MIB + 10_000)
    expect((await store.get('k/29'))?.data.length).toBe(MIB + 29)
    await store.close()
  })
})

describe('a silent storage', () => {
  it('is told after five seconds, with the rows that were answered early, until it answers', async () => {
    const time = new FakeTime()
    const told: string[] = []
    const note = (level: string) => (message: string) => void told.push(`${level} ${message}`)
    const logger: Logger = {
      debug: () => undefined,
      info: note('info'),
      warn: note('warn'),
      error: note('error'),
    }
    const adapter = new HangingStorage()
    const durability: Durability = 'memory'
    const store = await openStore({
      adapter,
      time,
      logger,
      durability,
      clock: new HybridClock(time),
    })
    adapter.hang()
    // Answered although it is not written.
    await store.set('a', '1')
    expect((await store.get('a'))?.data).toBe('1')
    expect(store.backlog).toMatchObject({ silentMs: 0, rows: 0 })
    time.advance(4999)
    expect(store.backlog.silentMs).toBe(0)
    time.advance(1)
    expect(store.backlog.silentMs).toBe(5000)
    expect(store.backlog.rows).toBeGreaterThan(0)
    time.advance(7000)
    expect(store.backlog.silentMs).toBe(12_000)
    expect(told).toEqual(['error the storage does not answer'])
    // Reads from memory go on; the next write waits.
    expect((await store.get('a'))?.data).toBe('1')
    const later = store.set('b', '2')
    adapter.goOn()
    await later
    await waitFor(() => store.backlog.rows === 0)
    expect(store.backlog).toMatchObject({ silentMs: 0, rows: 0, writes: 0 })
    expect(told).toEqual(['error the storage does not answer', 'info the storage answers again'])
    await store.close()
  })
})
