import { describe, expect, it } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  StorageCapabilities,
} from '../../../src/core/ports/storage-adapter.ts'
import type { Watch, WatchOptions } from '../../../src/store/database.ts'
import type { StoreOptions } from '../../../src/store/types/store-options.ts'
import type { WatchEvent } from '../../../src/store/watcher.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { openDatabase } from '../../support/database.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

/** A storage that takes a turn of the event loop for each batch, as a disk does. */
class SlowStorage extends MemoryStorage {
  override readonly capabilities: StorageCapabilities = {
    durability: ['process'],
    persistent: false,
  }

  override async batch(
    operations: readonly BatchOperation[],
    { durability = 'process' }: BatchOptions = {},
  ): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    return super.batch(operations, { durability })
  }
}

/** `key=data`, or `key gone`, of each change. */
function told({ changes }: WatchEvent): string[] {
  return changes.map(({ key, after }) =>
    after.kind === 'entry' ? `${key}=${after.data}` : `${key} gone`,
  )
}

async function take(watch: Watch, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = []
  while (events.length < count) {
    const { value } = await watch.next()
    if (value === undefined) break
    events.push(value)
  }
  return events
}

describe('a watch', () => {
  it('tells each commit once, in order, with what was there before', async () => {
    const { database, store } = await openDatabase()
    await database.set('before', '0')
    const watch = database.watch()
    await database.set('a', '1')
    await database.set('a', '2')
    await database.push('l/*', '3')
    await database.delete('l/*')
    const events = await take(watch, 4)
    expect(events.flatMap(told).map((text) => text.replace(/l\/\w+/, 'l/x'))).toEqual([
      ...['a=1', 'a=2', 'l/x=3', 'l/x gone'],
    ])
    expect(events.map(({ coalesced }) => coalesced)).toEqual([false, false, false, false])
    const [first, second] = events
    expect(first?.changes[0]?.before).toBeUndefined()
    expect(second?.changes[0]?.before?.data).toBe('1')
    expect(events.map(({ position }) => position.seq)).toEqual([2, 3, 4, 5])
    expect(watch.position).toEqual({ epoch: store.epoch, seq: 5 })
  })

  it('tells the delete of a glob, and a batch, as one event each', async () => {
    const { database } = await openDatabase()
    const watch = database.watch()
    await database.batch([
      { op: 'set', key: 'l/a', json: '1' },
      { op: 'set', key: 'l/b', json: '2' },
    ])
    await database.delete('l/*')
    const [batch, glob] = await take(watch, 2)
    expect(batch?.changes).toHaveLength(2)
    expect(glob?.changes.map(({ before }) => before?.data).sort()).toEqual(['1', '2'])
  })

  it('of a pattern tells what matches, and nothing else', async () => {
    const { database } = await openDatabase()
    const list = database.watch({ pattern: 'l/*' })
    const key = database.watch({ pattern: 'a' })
    await database.set('a', '1')
    await database.set('l/a/b', '2')
    await database.set('l/a', '3')
    await database.set('a', '4')
    expect((await take(list, 1)).flatMap(told)).toEqual(['l/a=3'])
    expect((await take(key, 2)).flatMap(told)).toEqual(['a=1', 'a=4'])
    expect(list.position.seq).toBe(4)
  })

  it('does not tell what is not broadcast', async () => {
    const { database } = await openDatabase({ noBroadcastKeys: ['quiet/*', 'alone'] })
    const watch = database.watch()
    const late = database.watch({ maxBufferedBytes: 0 })
    await database.set('quiet/a', '1')
    await database.set('alone', '2')
    await database.deleteSilent('alone')
    await database.set('gone', '2')
    await watch.next()
    await database.deleteSilent('gone')
    await database.set('loud', '3')
    await database.set('loud', '4')
    expect((await take(watch, 2)).flatMap(told)).toEqual(['loud=3', 'loud=4'])
    // The log has states and no silence: it says what is there, and what is no longer.
    expect((await take(late, 1)).flatMap(told)).toEqual(['gone gone', 'loud=4'])
  })

  it('waits for the next change when there is none', async () => {
    const { database } = await openDatabase()
    const watch = database.watch()
    const next = watch.next()
    const afterNext = watch.next()
    await database.set('a', '1')
    await database.set('a', '2')
    expect(told((await next).value as WatchEvent)).toEqual(['a=1'])
    expect(told((await afterNext).value as WatchEvent)).toEqual(['a=2'])
  })
})

describe('a reader that does not keep up', () => {
  it('gets the latest of each key from the log, then goes on live', async () => {
    const { database } = await openDatabase()
    const slow = database.watch({ maxBufferedBytes: 1000 })
    const quick = database.watch()
    for (let n = 0; n < 50; n++) await database.set(`k${n % 5}`, `${n}`)
    await database.delete('k0')
    const [event] = await take(slow, 1)
    expect(event?.coalesced).toBe(true)
    expect(told(event as WatchEvent)).toEqual(['k1=46', 'k2=47', 'k3=48', 'k4=49', 'k0 gone'])
    await database.set('k9', '51')
    const [live] = await take(slow, 1)
    expect([live?.coalesced, ...told(live as WatchEvent)]).toEqual([false, 'k9=51'])
    expect((await take(quick, 52)).filter(({ coalesced }) => !coalesced)).toHaveLength(52)
    expect(database.metrics()).toMatchObject({ watchersFellBehind: 1, watchers: 2 })
  })

  it('takes no more memory than it may, but for one commit', async () => {
    const { database } = await openDatabase()
    const watch = database.watch({ maxBufferedBytes: 10_000 })
    let most = 0
    for (let n = 0; n < 200; n++) {
      await database.set('a', JSON.stringify('x'.repeat(500)))
      most = Math.max(most, database.metrics().watchBufferedBytes)
    }
    expect(most).toBeGreaterThan(1000)
    expect(most).toBeLessThanOrEqual(10_000)
    expect((await take(watch, 1))[0]?.coalesced).toBe(true)
    await database.set('a', JSON.stringify('x'.repeat(50_000)))
    expect((await take(watch, 1))[0]?.coalesced).toBe(false)
  })

  it('reads a long log in pages, and misses no key', async () => {
    const { database } = await openDatabase({ storeOptions: { tailRows: 10 } })
    const watch = database.watch({ maxBufferedBytes: 0 })
    for (let n = 0; n < 555; n++) await database.set(`k/${n}`, `${n}`)
    const seen = new Set<string>()
    const positions: number[] = []
    while (seen.size < 555) {
      const [event] = await take(watch, 1)
      if (event === undefined) break
      expect(event.changes.length).toBeLessThanOrEqual(100)
      positions.push(event.position.seq)
      for (const { key } of event.changes) seen.add(key)
    }
    expect(seen.size).toBe(555)
    expect(positions).toEqual(positions.toSorted((a, b) => a - b))
  })
})

describe('a position', () => {
  it('is where another watch goes on, in the same life of the store or a later one', async () => {
    const adapter = new MemoryStorage()
    const first = await openDatabase({ storeOptions: { adapter } })
    const watch = first.database.watch()
    await first.database.set('a', '1')
    const [event] = await take(watch, 1)
    await first.database.set('b', '2')
    const again = first.database.watch({ after: event?.position })
    expect((await take(again, 1)).flatMap(told)).toEqual(['b=2'])
    await first.store.close()
    const later = await openDatabase({ storeOptions: { adapter } })
    await later.database.set('c', '3')
    const resumed = later.database.watch({ after: event?.position })
    expect((await take(resumed, 1)).flatMap(told)).toEqual(['b=2', 'c=3'])
    expect(resumed.position).toEqual({ epoch: later.store.epoch, seq: 3 })
  })

  it('of a snapshot begins right after what the snapshot shows', async () => {
    const { database } = await openDatabase()
    await database.set('l/a', '1')
    const { position, entries } = await database.snapshot('l/*')
    expect(entries.map(({ data }) => data)).toEqual(['1'])
    await database.set('l/a', '2')
    const watch = database.watch({ pattern: 'l/*', after: position })
    expect((await take(watch, 1)).flatMap(told)).toEqual(['l/a=2'])
  })

  it('that is not on the log is refused', async () => {
    const { database, store } = await openDatabase()
    await database.set('a', '1')
    const lost = { epoch: 'other', seq: 1 }
    expect(() => database.watch({ after: lost })).toThrow(StateError)
    expect(() => database.watch({ after: lost })).toThrow(/position 1 of epoch "other" is not on/)
    expect(() => database.watch({ after: { epoch: store.epoch, seq: 9 } })).toThrow(/position 9/)
  })
})

describe('the end of a watch', () => {
  it('comes with return, and leaves nothing behind', async () => {
    const { database } = await openDatabase()
    const watch = database.watch()
    const waiting = watch.next()
    await watch.return?.()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(await watch.next()).toEqual({ done: true, value: undefined })
    expect(database.metrics().watchers).toBe(0)
  })

  it('comes with the end of a loop', async () => {
    const { database } = await openDatabase()
    const watch = database.watch()
    await database.set('a', '1')
    for await (const event of watch) {
      expect(told(event)).toEqual(['a=1'])
      break
    }
    expect(database.metrics().watchers).toBe(0)
  })

  it('comes with its signal, which is not an error', async () => {
    const { database } = await openDatabase()
    const stop = new AbortController()
    const seen: string[] = []
    const loop = (async () => {
      for await (const event of database.watch({ signal: stop.signal })) seen.push(...told(event))
    })()
    await database.set('a', '1')
    await new Promise((resolve) => setImmediate(resolve))
    stop.abort()
    await loop
    expect(seen).toEqual(['a=1'])
    const never = database.watch({ signal: AbortSignal.abort() })
    expect((await never.next()).done).toBe(true)
    expect(database.metrics().watchers).toBe(0)
  })

  it('comes with the close of the database, after what waits was read', async () => {
    const { database, store } = await openDatabase()
    const watch = database.watch()
    const idle = database.watch({ pattern: 'never' }).next()
    await database.set('a', '1')
    await database.set('a', '2')
    database.close()
    await store.set('a', '3')
    const events: WatchEvent[] = []
    for await (const event of watch) events.push(event)
    expect(events.flatMap(told)).toEqual(['a=1', 'a=2'])
    expect((await idle).done).toBe(true)
  })

  it('comes with a log that can not be read, as an error, and another watch goes on', async () => {
    const adapter = new MemoryStorage()
    const { database, store } = await openDatabase({ storeOptions: { adapter, tailRows: 1 } })
    const watch = database.watch({ maxBufferedBytes: 0 })
    for (let n = 0; n < 20; n++) await database.set(`k${n}`, '1')
    const { iterate } = adapter
    adapter.iterate = () => {
      throw new StateError('storage_failed', 'the disk is gone')
    }
    await expect(watch.next()).rejects.toThrow('the disk is gone')
    expect((await watch.next()).done).toBe(true)
    adapter.iterate = iterate
    const { seq } = watch.position
    const again = database.watch({ after: { epoch: store.epoch, seq } })
    const changes = (await take(again, 1)).flatMap(told)
    expect(changes).toHaveLength(20)
  })
})

it.each<[string, WatchOptions]>([
  ['ooo: key is not valid', { pattern: '/a' }],
  ['maxBufferedBytes must be an integer from 0, not -1', { maxBufferedBytes: -1 }],
])('a watch says what it can not do: %s', async (text, options) => {
  const { database } = await openDatabase()
  expect(() => database.watch(options)).toThrow(text)
})

it.each<[string, Partial<StoreOptions>]>([
  ['everything in memory', {}],
  ['a small cache', { cacheBytes: 500 }],
  ['answers before the disk', { durability: 'memory' }],
])(
  'every watcher ends with the state of the store, whatever its speed and wherever it resumed, with %s',
  async (_name, storeOptions) => {
    for (let seed = 1; seed <= 8; seed++) {
      const random = new SeededRandom(seed)
      const adapter = new SlowStorage()
      const { database, store } = await openDatabase({
        storeOptions: { adapter, tailRows: 5, ...storeOptions },
      })
      let isDone = false
      const follow = async (maxBufferedBytes: number, laziness: number): Promise<void> => {
        const state = new Map<string, string>()
        let watch = database.watch({ maxBufferedBytes })
        let last = -1
        while (!isDone || watch.position.seq < store.head) {
          const { value } = await Promise.race([
            watch.next(),
            new Promise<{ value: undefined }>((resolve) => {
              setImmediate(() => resolve({ value: undefined }))
            }),
          ])
          if (value === undefined) {
            // A `next` that was given up may have taken an event with it, so the position decides.
            const after = last === -1 ? undefined : { epoch: store.epoch, seq: last }
            await watch.return?.()
            watch = database.watch({
              maxBufferedBytes,
              after: after ?? { epoch: store.epoch, seq: 0 },
            })
            continue
          }
          expect([seed, value.position.seq > last]).toEqual([seed, true])
          last = value.position.seq
          for (const { key, after } of value.changes) {
            if (after.kind === 'entry') state.set(key, after.data)
            else state.delete(key)
          }
          for (let n = random.below(laziness); n > 0; n--) {
            await new Promise((resolve) => setImmediate(resolve))
          }
        }
        await watch.return?.()
        const entries = await Promise.all((await store.keys()).map((key) => store.get(key)))
        const expected = entries.map((entry) => [entry?.key, entry?.data])
        expect([seed, ...[...state].sort()]).toEqual([seed, ...expected])
      }
      const followers = [follow(0, 4), follow(2000, 8), follow(1_000_000, 2), follow(500, 1)]
      for (let n = 0; n < 400; n++) {
        const key = random.pick(['a', 'b', 'l/a', 'l/b', 'l/c', 'm/a'])
        const roll = random.next()
        if (roll < 0.7) await database.set(key, `${n}`)
        else if (roll < 0.8) await database.delete('l/*')
        else if (roll < 0.9) await database.push('n/*', `${n}`)
        else await database.delete(key).catch(() => undefined)
        if (random.chance(0.05)) await new Promise((resolve) => setImmediate(resolve))
      }
      await database.set('end', '1')
      isDone = true
      await Promise.all(followers)
    }
  },
)
