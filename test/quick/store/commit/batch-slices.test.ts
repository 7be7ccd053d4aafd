/** Writes that come together are made in batches that leave time for others. */
import { describe, expect, it } from 'vitest'
import { CommitQueue, type Sized } from '../../../../src/store/commit/queue.ts'
import { openStore } from '../../../support/store.ts'

const MIB = 1024 * 1024
const BOUNDS = { maxWaiting: 1000, maxWaitingBytes: MIB, maxBatchBytes: MIB }

interface Numbered extends Sized {
  readonly n: number
}

function job(n: number): Numbered {
  return { n, bytes: 1, isPatient: false }
}

describe('large writes that come at once', () => {
  it('are made in batches of a few, with turns of the event loop between them, in order', async () => {
    const store = await openStore()
    const json = JSON.stringify('x'.repeat(MIB))
    let turns = 0
    let isDone = false
    const count = (): void => {
      turns++
      if (!isDone) setImmediate(count)
    }
    setImmediate(count)
    const commits: string[] = []
    store.onCommit(({ changes }) => commits.push(...changes.map(({ key }) => key)))
    const keys = Array.from({ length: 20 }, (_, i) => `k/${i}`)
    await Promise.all(keys.map((key) => store.set(key, json)))
    isDone = true
    expect(commits).toEqual(keys)
    expect(turns).toBeGreaterThanOrEqual(10)
  })

  it('share a batch when they are small', async () => {
    const batches: number[] = []
    const queue = new CommitQueue<Numbered>({
      flush: async (jobs) => {
        batches.push(jobs.length)
        return jobs.length
      },
      ...{ ...BOUNDS, maxBatch: 100 },
    })
    for (let i = 0; i < 250; i++) queue.push(job(i))
    await queue.drained()
    expect(batches).toEqual([100, 100, 50])
  })

  it('keep their order when a batch takes a part of them', async () => {
    const done: number[] = []
    const queue = new CommitQueue<Numbered>({
      flush: async (jobs) => {
        const taken = jobs.slice(0, 3)
        done.push(...taken.map(({ n }) => n))
        return taken.length
      },
      ...{ ...BOUNDS, maxBatch: 10 },
    })
    for (let i = 0; i < 20; i++) queue.push(job(i))
    await queue.drained()
    expect(done).toEqual(Array.from({ length: 20 }, (_, i) => i))
  })
})

describe('a batch of globs', () => {
  it('is refused as a whole when they concern too many keys together', async () => {
    const store = await openStore()
    const keys = Array.from({ length: 1000 }, (_, i) => `l/${i}`)
    await store.batch(keys.map((key) => ({ op: 'set', key, json: '1' })))
    const deletes = (count: number): Promise<unknown> =>
      store.batch(Array.from({ length: count }, () => ({ op: 'delete', key: 'l/*' })))
    await expect(deletes(1000)).rejects.toMatchObject({
      code: 'too_large',
      message: expect.stringContaining('the limit is 1000000'),
    })
    expect(await store.get('l/0')).toBeDefined()
    await deletes(100)
    expect(await store.get('l/0')).toBeUndefined()
  })
})
