/** Requests over a store, with filters of the test: order, atomicity, conditions. */
import { describe, expect, it } from 'vitest'
import { DEFAULT_JSON_BOUNDS } from '../../../src/core/json/bounds.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import { execute } from '../../../src/server/data/execute.ts'
import { readEntry, readList } from '../../../src/server/data/read.ts'
import type {
  DataFilters,
  DataParts,
  ListRequest,
  RequestedWrite,
  WriteRequest,
} from '../../../src/server/data/request.ts'
import { MergeRoom } from '../../../src/server/turns/merge-room.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import type { Conditional, Written } from '../../../src/store/types/write.ts'
import { openStore } from '../../support/store.ts'

const OPEN: DataFilters = {
  permits: () => true,
  applyWrite: (_key, json) => json,
  applyDelete: () => undefined,
  applyReadObject: (_key, entry) => entry,
  applyReadList: (_glob, entries) => entries,
  afterWrite: () => undefined,
  isFiltered: () => true,
}

type Asking = Pick<WriteRequest, 'caller'> & Conditional

const OUTSIDE: Asking = { caller: 'client' }
const INSIDE: Asking = { caller: 'process' }

/** Builds requests as routes do. */
class Requests {
  readonly #parts: DataParts

  constructor(parts: DataParts) {
    this.#parts = parts
  }

  get = async (key: string, { caller }: Asking) => (await this.view(key, { caller })).shown
  view = (key: string, { caller }: Asking) => readEntry(this.#parts, { key, caller })
  list = (key: string, range: Omit<ListRequest, 'key'>) => readList(this.#parts, { ...range, key })
  set = (key: string, json: string, asking: Asking) => this.#write({ op: 'set', key, json }, asking)
  push = (key: string, json: string, asking: Asking) =>
    this.#write({ op: 'push', key, json }, asking)
  patch = (key: string, json: string, asking: Asking) =>
    this.#write({ op: 'patch', key, json, precondition: asking.precondition }, asking)
  delete = (key: string, asking: Asking) => this.#write({ op: 'delete', key }, asking)
  batch = (writes: readonly RequestedWrite[], { caller }: Asking) =>
    execute(this.#parts, { writes, caller, isBatch: true })

  #write(write: RequestedWrite, { caller }: Asking): Promise<Written[]> {
    return execute(this.#parts, { writes: [write], caller })
  }
}

async function open(
  filters: Partial<DataFilters>,
  parts: Partial<DataParts> = {},
): Promise<{ access: Requests; store: ReplicationStore }> {
  const store = await openStore()
  const access = new Requests({
    jsonBounds: DEFAULT_JSON_BOUNDS,
    merges: new MergeRoom(64 * 1024 * 1024),
    ...{ store, lockingStore: store, filters: { ...OPEN, ...filters } },
    ...{ isStatic: false, logger: SILENT_LOGGER },
    ...parts,
  })
  return { access, store }
}

/** A filter that answers in a later turn. */
function later(filter: (json: string) => string): (key: string, json: string) => Promise<string> {
  return async (_key, json) => {
    await new Promise((resolve) => setImmediate(resolve))
    return filter(json)
  }
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `k${i}`)
}

describe('a write filter that answers later', () => {
  it('loses none of many patches at once, batched or not', async () => {
    const { access, store } = await open({ applyWrite: later((json) => json) })
    await store.set('a', '{}')
    await Promise.all(
      numbered(100).map((name, i) =>
        i % 10 === 0
          ? access.batch([{ op: 'patch', key: 'a', json: `{"${name}":1}` }], OUTSIDE)
          : access.patch('a', `{"${name}":1}`, OUTSIDE),
      ),
    )
    const data = JSON.parse((await store.get('a'))?.data ?? '') as object
    expect(Object.keys(data).sort()).toEqual(numbered(100).sort())
  })

  it('is asked again when the value changed meanwhile, and only then', async () => {
    const asked: string[] = []
    const { access, store } = await open({
      applyWrite: async (_key, json) => {
        asked.push(json)
        if (asked.length === 1) await store.set('a', '{"n":2}')
        return json
      },
    })
    await store.set('a', '{"n":1}')
    await access.patch('a', '{"m":1}', OUTSIDE)
    expect((await store.get('a'))?.data).toBe('{"m":1,"n":2}')
    expect(asked).toEqual(['{"m":1,"n":1}', '{"m":1,"n":2}'])
    await access.patch('a', '{"m":3}', OUTSIDE)
    expect(asked).toHaveLength(3)
  })

  it('does not let a condition pass that holds no longer', async () => {
    const { access, store } = await open({ applyWrite: later((json) => json) })
    const { version } = await store.set('a', '{"n":1}')
    const precondition = { kind: 'version', version } as const
    const late = access.patch('a', '{"m":1}', { ...OUTSIDE, precondition })
    const expectation = expect(late).rejects.toMatchObject({ code: 'precondition_failed' })
    await store.set('a', '{"n":2}')
    await expectation
    expect((await store.get('a'))?.data).toBe('{"n":2}')
  })

  it('refuses by rejecting, and a batch says which operation it was', async () => {
    const { access, store } = await open({
      applyWrite: later(() => {
        throw new RangeError('too much')
      }),
    })
    await store.set('a', '{}')
    await expect(access.patch('a', '{}', OUTSIDE)).rejects.toThrow('too much')
    await expect(access.set('a', '1', OUTSIDE)).rejects.toThrow('too much')
    expect((await store.get('a'))?.data).toBe('{}')
  })
})

describe('filters', () => {
  it('are asked with the key of the request; after-write follows each write, not deletes', async () => {
    const calls: string[] = []
    const { access } = await open({
      applyWrite: (key, json) => {
        calls.push(`write ${key} ${json}`)
        return json
      },
      applyDelete: (key) => void calls.push(`delete ${key}`),
      afterWrite: (key) => void calls.push(`after ${key}`),
    })
    await access.set('a', '{"x":1}', OUTSIDE)
    await access.patch('a', '{"y":2}', OUTSIDE)
    await access.push('l/*', '1', OUTSIDE)
    await access.delete('a', OUTSIDE)
    await access.batch(
      [
        { op: 'set', key: 'b', json: '1' },
        { op: 'delete', key: 'l/*' },
        { op: 'push', key: 'l/*', json: '2' },
      ],
      OUTSIDE,
    )
    expect(calls).toEqual([
      ...['write a {"x":1}', 'after a', 'write a {"x":1,"y":2}', 'after a'],
      ...['write l/* 1', 'after l/*', 'delete a'],
      ...['write b 1', 'delete l/*', 'write l/* 2', 'after b', 'after l/*'],
    ])
  })

  it('that fail after the write are logged; the write stands', async () => {
    const messages: string[] = []
    const logger = { ...SILENT_LOGGER, error: (message: string) => void messages.push(message) }
    const fail = (): Promise<void> => Promise.reject(new Error('broken'))
    const { access, store } = await open({ afterWrite: fail }, { logger })
    await access.set('a', '1', OUTSIDE)
    expect((await store.get('a'))?.data).toBe('1')
    expect(messages).toEqual(['an after-write filter failed'])
  })

  it('of reads see absent keys, and lists before the limit is drawn', async () => {
    const asked: (string | undefined)[] = []
    const { access } = await open({
      applyReadObject: (_key, entry) => {
        asked.push(entry?.data)
        return entry
      },
      applyReadList: (_glob, entries) => entries.filter(({ data }) => Number(data) % 2 === 0),
    })
    expect(await access.get('l/a', OUTSIDE)).toBeUndefined()
    await access.set('l/a', '1', OUTSIDE)
    await access.get('l/a', OUTSIDE)
    expect(asked).toEqual([undefined, '1'])
    for (const n of [2, 3, 4, 5]) await access.push('l/*', `${n}`, OUTSIDE)
    const list = async (order: 'newest' | 'oldest', limit?: number): Promise<string[]> =>
      (await access.list('l/*', { ...OUTSIDE, order, limit })).map(({ data }) => data)
    expect(await list('newest')).toEqual(['4', '2'])
    expect(await list('oldest', 1)).toEqual(['2'])
  })
})

describe('a view', () => {
  it('names the version of what it shows, although a write lands meanwhile', async () => {
    let store: ReplicationStore | undefined
    const opened = await open({
      applyReadObject: (_key, entry) => {
        void store?.set('a', '2')
        return entry
      },
    })
    store = opened.store
    await store.set('a', '1')
    const { shown, stored } = await opened.access.view('a', OUTSIDE)
    expect(shown?.data).toBe('1')
    expect(stored).toBe(shown)
  })
})

describe('static mode', () => {
  const closed: Partial<DataFilters> = { permits: () => false }

  it('refuses what no filter opens, from outside only', async () => {
    const { access, store } = await open(closed, { isStatic: true })
    await store.set('a', '{}')
    const refusals = [
      access.get('a', OUTSIDE),
      access.list('l/*', OUTSIDE),
      access.set('a', '1', OUTSIDE),
      access.push('l/*', '1', OUTSIDE),
      access.patch('a', '{}', OUTSIDE),
      access.delete('a', OUTSIDE),
      access.batch([{ op: 'set', key: 'a', json: '1' }], OUTSIDE),
    ]
    for (const refusal of refusals) {
      await expect(refusal).rejects.toMatchObject({ code: 'not_routed' })
    }
    await access.patch('a', '{"x":1}', INSIDE)
    await access.delete('a', INSIDE)
    await access.batch([{ op: 'set', key: 'a', json: '1' }], INSIDE)
    expect((await access.get('a', INSIDE))?.data).toBe('1')
    expect(await access.list('*', INSIDE)).toHaveLength(1)
  })

  it('waits for what is to run before a read, once per read that is allowed', async () => {
    const reads: string[] = []
    const beforeRead = async (key: string): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve))
      reads.push(key)
    }
    const { access } = await open({}, { beforeRead })
    await access.get('a', OUTSIDE)
    await access.list('l/*', OUTSIDE)
    await access.set('a', '1', OUTSIDE)
    expect(reads).toEqual(['a', 'l/*'])
    const shut = await open(closed, { beforeRead, isStatic: true })
    await expect(shut.access.get('a', OUTSIDE)).rejects.toThrow()
    expect(reads).toHaveLength(2)
  })
})
