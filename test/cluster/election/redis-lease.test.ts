import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { NO_MARK } from '../../../cluster/election/lease/lease.ts'
import { redisLease } from '../../../cluster/election/lease/redis-lease.ts'
import { redisScripts } from '../../../cluster/election/lease/redis-scripts.ts'
import { useRedis } from '../../support/services.ts'
import { waitFor } from '../../support/wait.ts'
import { describeLease } from './lease-suite.ts'

const closers: (() => unknown)[] = []

afterEach(() => {
  for (const close of closers.splice(0)) close()
})

describe('on a server', () => {
  const redis = useRedis()

  describeLease('Redis', async (name, durationMs) => {
    const admin = new Redis(redis().url)
    closers.push(() => admin.disconnect())
    await admin.ping()
    return {
      durationMs,
      candidate: (self) => {
        const scripts = redisScripts({
          url: redis().url,
          ca: undefined,
          timeoutMs: 20_000,
          random: Math.random,
        })
        return redisLease({ scripts, name, durationMs, self })
      },
      forget: async () => {
        const keys = ['lease', 'lease-token', 'lease-mark'].map((key) => `ooo:{${name}}:${key}`)
        await admin.del(...keys)
      },
      lapse: async () => {
        await waitFor(async () => (await admin.exists(`ooo:{${name}}:lease`)) === 0)
      },
    }
  })

  it('with something else under its key is not taken for free', async () => {
    const admin = new Redis(redis().url)
    closers.push(() => admin.disconnect())
    await admin.set('ooo:{odd}:lease', 'something else')
    const scripts = {
      run: (script: string, keys: readonly string[], args: readonly string[]) =>
        admin.eval(script, keys.length, ...keys, ...args),
      close: () => undefined,
    }
    const self = { id: 'a', url: 'http://a:1', session: 's' }
    const lease = redisLease({ scripts, name: 'odd', durationMs: 1000, self })
    await expect(lease.take(0)).rejects.toThrow('is not the answer of a lease')
  })
})

describe('a server that goes away', () => {
  const redis = useRedis({ control: true })

  it('fails questions soon, and answers them when it is back, without its memory', async () => {
    const scripts = redisScripts({
      url: redis().url,
      ca: undefined,
      timeoutMs: 500,
      random: Math.random,
    })
    closers.push(() => scripts.close())
    const self = { id: 'a', url: 'http://a:1', session: 's' }
    const lease = redisLease({ scripts, name: 'l', durationMs: 60_000, self })
    await waitFor(async () => (await lease.take(0)).isMine)
    await redis().control?.kill()
    await waitFor(() =>
      lease.renew(1, NO_MARK).then(
        () => false,
        () => true,
      ),
    )
    await redis().control?.start()
    const view = await waitFor(() => lease.renew(1, NO_MARK))
    expect(view).toMatchObject({ isMine: true, token: 1 })
  })
})
