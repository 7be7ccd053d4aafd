import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../../src/core/errors.ts'
import { KeyLocks, type KeyLocksOptions, type Lock } from '../../../../src/store/locks/locks.ts'
import { FakeTime } from '../../../support/fake-time.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

function setUp(options: Partial<KeyLocksOptions> = {}) {
  const time = new FakeTime()
  let tokens = 0
  let fences = 100n
  const locks = new KeyLocks({
    time,
    newToken: () => `token-${++tokens}`,
    nextFence: () => ++fences,
    ...options,
  })
  return { time, locks }
}

/** What a promise has come to so far. */
function outcome<T>(promise: Promise<T>): { value?: T; code?: string; error?: unknown } {
  const seen: { value?: T; code?: string; error?: unknown } = {}
  promise.then(
    (value) => {
      seen.value = value
    },
    (error: unknown) => {
      seen.error = error
      seen.code = isStateError(error) ? error.code : 'other'
    },
  )
  return seen
}

describe('a lock', () => {
  it('is given to one at a time, in the order of asking', async () => {
    const { locks, time } = setUp()
    const order: number[] = []
    const holders = [0, 1, 2, 3].map(async (n) => {
      const lock = await locks.lock('a', { waitMs: 60_000 })
      order.push(n)
      await new Promise<void>((resolve) => {
        time.after(10, resolve)
      })
      expect(order.at(-1)).toBe(n)
      locks.unlock('a', lock.token)
    })
    expect(locks.metrics()).toMatchObject({ waiting: 3 })
    await time.advanceAsync(100)
    await Promise.all(holders)
    expect(order).toEqual([0, 1, 2, 3])
    expect(locks.metrics()).toMatchObject({ held: 0, waiting: 0, expired: 0 })
    expect(time.pending).toBe(0)
  })

  it('of one key does not keep another waiting', async () => {
    const { locks } = setUp()
    await locks.lock('a')
    expect((await locks.lock('b')).key).toBe('b')
  })

  it('of a glob, or of a key that can not be, is refused', async () => {
    const { locks } = setUp()
    await expect(locks.lock('a/*')).rejects.toMatchObject({
      code: 'invalid_glob',
      message: "storage: can't lock a glob pattern path",
    })
    await expect(locks.lock('/a')).rejects.toMatchObject({ code: 'invalid_key' })
  })

  it('has a token of its own and a fence greater than those before', async () => {
    const { locks } = setUp()
    const first = await locks.lock('a')
    locks.unlock('a', first.token)
    const second = await locks.lock('a')
    expect(second.token).not.toBe(first.token)
    expect(second.fence).toBeGreaterThan(first.fence)
  })

  it.each([
    ['ttlMs', { ttlMs: 0 }],
    ['ttlMs', { ttlMs: 1.5 }],
    ['ttlMs', { ttlMs: 2 ** 31 }],
    ['waitMs', { waitMs: -1 }],
    ['waitMs', { waitMs: Number.NaN }],
  ])('refuses a %s that can not be, naming the limit', async (name, options) => {
    const { locks } = setUp()
    const refusal = expect(locks.lock('a', options)).rejects
    await refusal.toMatchObject({ code: 'invalid_option' })
    await expect(locks.lock('a', options)).rejects.toThrow(`${name} must be an integer from`)
  })
})

describe('a token', () => {
  it('of another lock, of no lock or of a lock given back is refused by name', async () => {
    const { locks } = setUp()
    const a = await locks.lock('a')
    const b = await locks.lock('b')
    const refusal = (key: string, token: string): string => {
      try {
        locks.unlock(key, token)
      } catch (error) {
        if (isStateError(error, 'lock_lost')) return error.message
      }
      return 'not refused'
    }
    const lead = "storage: lock not found, can't unlock: "
    expect(refusal('a', b.token)).toBe(`${lead}the token is not that of the lock of key "a"`)
    expect(refusal('a', 'made up')).toBe(`${lead}the token is not that of the lock of key "a"`)
    expect(refusal('c', a.token)).toBe(`${lead}key "c" is not locked`)
    locks.unlock('a', a.token)
    expect(refusal('a', a.token)).toBe(`${lead}key "a" is not locked`)
    locks.unlock('b', b.token)
  })

  it('is refused once the lock has expired, and the next one has the lock', async () => {
    const { locks, time } = setUp()
    const first = await locks.lock('a', { ttlMs: 1000 })
    const second = outcome(locks.lock('a', { waitMs: 60_000 }))
    await time.advanceAsync(999)
    expect(second.value).toBeUndefined()
    await time.advanceAsync(1)
    expect(second.value?.key).toBe('a')
    expect(() => locks.unlock('a', first.token)).toThrow('the lock of the token has expired')
    expect(() => locks.assertHeld('a', first.token)).toThrow('has expired')
    locks.assertHeld('a', second.value?.token ?? '')
    expect(locks.metrics()).toMatchObject({ held: 1, expired: 1 })
  })

  it('is refused when its time is up although no timer has run', async () => {
    const { locks } = setUp()
    let nowNs = 0n
    const time = { wallNs: () => nowNs, monotonicNs: () => nowNs, after: () => () => undefined }
    const stuck = new KeyLocks({ time, newToken: () => 'x', nextFence: () => 1n })
    await stuck.lock('a', { ttlMs: 1 })
    nowNs = 1_000_000n
    expect(() => stuck.assertHeld('a', 'x')).toThrow('has expired')
    expect(stuck.metrics()).toMatchObject({ held: 0, expired: 1 })
    expect(locks.metrics().held).toBe(0)
  })

  it('keeps its lock longer when that is extended', async () => {
    const { locks, time } = setUp()
    const { token } = await locks.lock('a', { ttlMs: 1000 })
    time.advance(900)
    locks.extend('a', token, 1000)
    time.advance(900)
    locks.assertHeld('a', token)
    time.advance(100)
    expect(() => locks.extend('a', token, 1000)).toThrow('has expired')
  })
})

describe('a wait', () => {
  it('ends with `locked` naming the key and the limit, and leaves the lock where it is', async () => {
    const { locks, time } = setUp()
    const { token } = await locks.lock('a')
    const late = outcome(locks.lock('a', { waitMs: 250 }))
    const byDefault = outcome(locks.lock('a'))
    await time.advanceAsync(250)
    expect(late.error).toMatchObject({
      code: 'locked',
      message: 'storage: key "a" is locked, and was not free within 250 ms, which is the limit',
    })
    expect(byDefault.code).toBeUndefined()
    await time.advanceAsync(4750)
    expect(byDefault.code).toBe('locked')
    locks.assertHeld('a', token)
    expect(locks.metrics()).toMatchObject({ waiting: 0, timedOut: 2 })
  })

  it('of 0 ends at once', async () => {
    const { locks } = setUp()
    await locks.lock('a')
    await expect(locks.lock('a', { waitMs: 0 })).rejects.toMatchObject({ code: 'locked' })
  })

  it('ends with the reason of its signal, before or after it began', async () => {
    const { locks, time } = setUp()
    const { token } = await locks.lock('a')
    const reason = new Error('not wanted any more')
    await expect(locks.lock('a', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const stop = new AbortController()
    const waiting = outcome(locks.lock('a', { signal: stop.signal }))
    const next = outcome(locks.lock('a'))
    stop.abort(reason)
    await time.advanceAsync(0)
    expect(waiting.error).toBe(reason)
    locks.unlock('a', token)
    await time.advanceAsync(0)
    expect(next.value?.key).toBe('a')
  })

  it('is refused when too many wait already', async () => {
    const { locks } = setUp({ maxWaiting: 2 })
    await locks.lock('a')
    const waiting = [locks.lock('a'), locks.lock('a')].map((wait) => outcome(wait))
    const refusal = expect(locks.lock('a')).rejects
    await refusal.toMatchObject({
      code: 'overloaded',
      message: 'storage: 2 wait for locked keys, the limit is 2',
    })
    expect(waiting.map(({ code }) => code)).toEqual([undefined, undefined])
    expect(locks.metrics()).toMatchObject({ waiting: 2, refused: 1 })
  })

  it('for one lock too many is refused', async () => {
    const { locks } = setUp({ maxLocks: 1 })
    await locks.lock('a')
    await expect(locks.lock('b')).rejects.toThrow('1 keys are locked, the limit is 1')
  })

  it('ends with `closing` when the locks close; nothing is given after that', async () => {
    const { locks, time } = setUp()
    await locks.lock('a')
    const waiting = [outcome(locks.lock('a')), outcome(locks.lock('a'))]
    const write = outcome(Promise.resolve(locks.enter(['a'])))
    locks.close()
    await time.advanceAsync(0)
    expect([...waiting, write].map(({ code }) => code)).toEqual(Array(3).fill('closing'))
    await expect(locks.lock('b')).rejects.toMatchObject({ code: 'closing' })
    expect(time.pending).toBe(0)
  })
})

describe('a write', () => {
  it('goes ahead at once, any number together, where no key is locked', () => {
    const { locks } = setUp()
    const leaves = [locks.enter(['a']), locks.enter(['a', 'b/*']), locks.enter(['*'])]
    for (const leave of leaves) {
      expect(leave).toBeTypeOf('function')
      if (typeof leave === 'function') leave()
    }
  })

  it('of a locked key waits for the lock, and in its turn between those who want it', async () => {
    const { locks, time } = setUp()
    const first = await locks.lock('a')
    const write = outcome(Promise.resolve(locks.enter(['a'])))
    const second = outcome(locks.lock('a'))
    const last = outcome(Promise.resolve(locks.enter(['a'])))
    await time.advanceAsync(0)
    expect([write.value, second.value, last.value]).toEqual([undefined, undefined, undefined])
    locks.unlock('a', first.token)
    await time.advanceAsync(0)
    expect(write.value).toBeTypeOf('function')
    expect(second.value).toBeUndefined()
    write.value?.()
    await time.advanceAsync(0)
    expect(second.value?.key).toBe('a')
    expect(last.value).toBeUndefined()
    locks.unlock('a', second.value?.token ?? '')
    await time.advanceAsync(0)
    expect(last.value).toBeTypeOf('function')
  })

  it('does not overtake somebody who waits for the lock', async () => {
    const { locks, time } = setUp()
    const first = locks.enter(['a'])
    const lock = outcome(locks.lock('a'))
    const second = locks.enter(['a'])
    expect(second).toBeInstanceOf(Promise)
    if (typeof first === 'function') first()
    await time.advanceAsync(0)
    expect(lock.value?.key).toBe('a')
    locks.unlock('a', lock.value?.token ?? '')
    ;(await second)()
  })

  it('under way keeps a lock from being given until it is done', async () => {
    const { locks, time } = setUp()
    const leave = locks.enter(['a'])
    const leaveGlob = locks.enter(['*'])
    const lock = outcome(locks.lock('a'))
    await time.advanceAsync(0)
    if (typeof leave === 'function') leave()
    await time.advanceAsync(0)
    expect(lock.value).toBeUndefined()
    if (typeof leaveGlob === 'function') leaveGlob()
    await time.advanceAsync(0)
    expect(lock.value?.key).toBe('a')
  })

  it('with the token of the lock goes ahead, and keeps the next one out although it expires', async () => {
    const { locks, time } = setUp()
    const { token } = await locks.lock('a', { ttlMs: 100 })
    const next = outcome(locks.lock('a'))
    const leave = locks.enter(['a'], { lock: token })
    expect(leave).toBeTypeOf('function')
    await time.advanceAsync(200)
    expect(next.value).toBeUndefined()
    if (typeof leave === 'function') leave()
    await time.advanceAsync(0)
    expect(next.value?.key).toBe('a')
  })

  it('with a token that is lost, or of a key it does not write, is refused', async () => {
    const { locks, time } = setUp()
    const a = await locks.lock('a', { ttlMs: 100 })
    const b = await locks.lock('b')
    const attempt = (token: string) => () => locks.enter(['a'], { lock: token })
    expect(attempt(b.token)).toThrow('the token locks key "b", which is not written')
    expect(attempt('made up')).toThrow('no key is locked with the token')
    time.advance(100)
    expect(attempt(a.token)).toThrow('the lock of the token has expired')
  })

  it('is refused when its lock ends while it waits for another', async () => {
    const { locks, time } = setUp()
    const a = await locks.lock('a', { ttlMs: 100 })
    const b = await locks.lock('b')
    const write = outcome(Promise.resolve(locks.enter(['a', 'b'], { lock: a.token })))
    await time.advanceAsync(100)
    locks.unlock('b', b.token)
    await time.advanceAsync(0)
    expect(write.code).toBe('lock_lost')
    expect((await locks.lock('a', { waitMs: 0 })).key).toBe('a')
    expect((await locks.lock('b', { waitMs: 0 })).key).toBe('b')
  })

  it('of several keys, or of a glob, waits for all of their locks', async () => {
    const { locks, time } = setUp()
    const held = [await locks.lock('l/a'), await locks.lock('l/b'), await locks.lock('m/a')]
    const glob = outcome(Promise.resolve(locks.enter(['l/*'])))
    const batch = outcome(Promise.resolve(locks.enter(['l/b', 'm/a', 'free'])))
    const release = async (n: number): Promise<void> => {
      const lock = held[n] as Lock
      locks.unlock(lock.key, lock.token)
      await time.advanceAsync(0)
    }
    await release(1)
    expect([glob.value, batch.value]).toEqual([undefined, undefined])
    await release(0)
    expect(glob.value).toBeTypeOf('function')
    expect(batch.value).toBeUndefined()
    await release(2)
    expect(batch.value).toBeTypeOf('function')
    const lock = outcome(locks.lock('l/b'))
    await time.advanceAsync(0)
    expect(lock.value).toBeUndefined()
    glob.value?.()
    batch.value?.()
    await time.advanceAsync(0)
    expect(lock.value?.key).toBe('l/b')
  })

  it('of several keys gives up as a whole, and holds none of them then', async () => {
    const { locks, time } = setUp()
    const b = await locks.lock('b')
    const batch = outcome(Promise.resolve(locks.enter(['a', 'b'], { waitMs: 50 })))
    await time.advanceAsync(50)
    expect(batch.code).toBe('locked')
    locks.unlock('b', b.token)
    expect((await locks.lock('a', { waitMs: 0 })).key).toBe('a')
    expect((await locks.lock('b', { waitMs: 0 })).key).toBe('b')
  })
})

it('whatever happens, a key has one holder, no write is under way then, and everybody gets on', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed)
    const { locks, time } = setUp()
    const keys = ['l/a', 'l/b', 'c']
    const holders = new Map<string, number>()
    const writers = new Map<string, number>()
    const count = (map: Map<string, number>, key: string, by: number): void => {
      map.set(key, (map.get(key) ?? 0) + by)
    }
    const pause = (): Promise<void> =>
      new Promise((resolve) => {
        time.after(random.below(30), resolve)
      })
    const lockSome = async (): Promise<void> => {
      const key = random.pick(keys)
      const lock = await locks.lock(key, { ttlMs: 1000, waitMs: 1 + random.below(5000) })
      count(holders, key, 1)
      expect([seed, holders.get(key), writers.get(key) ?? 0]).toEqual([seed, 1, 0])
      await pause()
      expect([seed, writers.get(key) ?? 0]).toEqual([seed, 0])
      count(holders, key, -1)
      locks.unlock(key, lock.token)
    }
    const writeSome = async (): Promise<void> => {
      const targets = random.pick([['l/a'], ['l/*'], ['l/b', 'c'], ['c', 'l/*']])
      const leave = await locks.enter(targets, { waitMs: 1 + random.below(5000) })
      const touched = keys.filter((key) =>
        targets.some((target) => target === key || (target === 'l/*' && key.startsWith('l/'))),
      )
      for (const key of touched) {
        expect([seed, key, holders.get(key) ?? 0]).toEqual([seed, key, 0])
        count(writers, key, 1)
      }
      await pause()
      for (const key of touched) count(writers, key, -1)
      leave()
    }
    const all = Promise.allSettled(
      Array.from({ length: 60 }, async () => {
        await pause()
        await (random.chance(0.5) ? lockSome() : writeSome())
      }),
    )
    for (let step = 0; step < 40; step++) await time.advanceAsync(200)
    for (const result of await all) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'locked' })
    }
    expect(locks.metrics()).toMatchObject({ held: 0, waiting: 0 })
    expect(time.pending).toBe(0)
    for (const key of keys) expect((await locks.lock(key, { waitMs: 0 })).key).toBe(key)
  }
})
