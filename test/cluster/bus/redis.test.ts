import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { redisBus } from '../../../cluster/bus/redis.ts'
import { parseRedisUrl } from '../../../cluster/redis/url.ts'
import { describeBus } from '../../conformance/bus.ts'
import { useRedis } from '../../support/services.ts'
import { ServiceLink } from '../../support/services-link.ts'
import { waitFor } from '../../support/wait.ts'

const QUICK = { reconnectInitialMs: 10, reconnectMaxMs: 100, timeoutMs: 2000, pingIntervalMs: 500 }

describe('over Redis', () => {
  const redis = useRedis({ control: true })
  describeBus('a bus', () => ({
    connect: () => redisBus({ url: redis().url, ...QUICK }),
    goAway: () => redis().control?.kill() ?? Promise.resolve(),
    comeBack: () => redis().control?.start() ?? Promise.resolve(),
  }))
})

describe('a bus over Redis', () => {
  const redis = useRedis()

  test('leaves a server that takes requests and answers nothing', async () => {
    const link = await ServiceLink.to(redis().url)
    const bus = redisBus({ url: link.url, ...QUICK, timeoutMs: 300 })
    try {
      const states: string[] = []
      bus.subscribe(`ooo:deaf:${process.pid}`, {
        message: () => undefined,
        up: () => states.push('up'),
        down: () => states.push('down'),
      })
      await waitFor(() => states.at(-1) === 'up', { deadlineMs: 20_000 })
      link.swallow()
      await waitFor(() => states.at(-1) === 'down', { deadlineMs: 20_000 })
      expect(bus.status().subscribing.lastError).toContain('no answer within 300 ms')
      link.heal()
      link.cut()
      await waitFor(() => states.at(-1) === 'up', { deadlineMs: 20_000 })
    } finally {
      await bus.close()
      await link.close()
    }
  })

  test('needs no more rights than its page names, and says which are missing', async () => {
    const administrator = new Redis(redis().url, { lazyConnect: true })
    const user = `ooo-${process.pid}`
    const rights = ['resetchannels', '&ooo:*', '-@all', '+@connection', '+@pubsub']
    const url = redis().url.replace('redis://', `redis://${user}:s3cret@`)
    const bus = redisBus({ url, ...QUICK })
    try {
      await administrator.call('ACL', 'SETUSER', user, 'on', '>s3cret', ...rights)
      const heard: string[] = []
      bus.subscribe('ooo:mine', {
        message: (text) => heard.push(text),
        up: () => undefined,
        down: () => undefined,
      })
      await waitFor(
        () => {
          bus.publish('ooo:mine', 'hello')
          return heard.includes('hello')
        },
        { deadlineMs: 20_000 },
      )
      bus.publish('other', 'x')
      await waitFor(() => bus.status().publishing.lastError?.includes('NOPERM'), {
        deadlineMs: 20_000,
      })
      bus.subscribe('other', {
        message: () => undefined,
        up: () => undefined,
        down: () => undefined,
      })
      await waitFor(() => bus.status().subscribing.lastError?.includes('NOPERM'), {
        deadlineMs: 20_000,
      })
      expect(JSON.stringify(bus.status())).not.toContain('s3cret')
    } finally {
      await bus.close()
      await administrator.call('ACL', 'DELUSER', user)
      administrator.disconnect()
    }
  })

  test('takes no more than its bound while Redis takes nothing', async () => {
    const link = await ServiceLink.to(redis().url)
    const bus = redisBus({ url: link.url, ...QUICK, timeoutMs: 20_000, maxWaitingBytes: 10_000 })
    try {
      await waitFor(() => bus.publish('ooo:full', 'x'), { deadlineMs: 20_000 })
      await waitFor(() => bus.status().waitingBytes === 0, { deadlineMs: 20_000 })
      link.swallow()
      const text = 'x'.repeat(1000)
      let taken = 0
      while (bus.publish('ooo:full', text)) taken++
      expect(taken).toBe(10)
      expect(bus.status()).toMatchObject({ waitingBytes: 10_000 })
    } finally {
      await bus.close()
      await link.close()
    }
  })
})

describe('the URL of a Redis', () => {
  test.each([
    ['redis://h', { form: 'single', isSecure: false, hosts: [{ host: 'h', port: 6379 }] }],
    ['redis://h:1/3', { hosts: [{ host: 'h', port: 1 }], address: 'redis://h:1' }],
    [
      'rediss://u:p%40ss@h:7',
      { isSecure: true, username: 'u', password: 'p@ss', address: 'rediss://h:7' },
    ],
    ['redis://:p@h', { username: undefined, password: 'p' }],
    ['redis://[::1]:7000', { hosts: [{ host: '::1', port: 7000 }], address: 'redis://[::1]:7000' }],
    [
      'redis+sentinel://u:p@a,b:2/main/0?sentinelPassword=s',
      {
        form: 'sentinel',
        hosts: [
          { host: 'a', port: 26379 },
          { host: 'b', port: 2 },
        ],
        master: 'main',
        sentinelPassword: 's',
        address: 'redis+sentinel://a:26379,b:2/main',
      },
    ],
    [
      'rediss+cluster://a:1,b',
      {
        form: 'cluster',
        isSecure: true,
        hosts: [
          { host: 'a', port: 1 },
          { host: 'b', port: 6379 },
        ],
      },
    ],
  ])('%s is understood', (url, expected) => {
    expect(parseRedisUrl(url)).toMatchObject(expected)
  })

  test.each([
    ['localhost:6379', 'the URL is none of redis://'],
    ['http://:secret@h', 'with the scheme "http" is none of'],
    ['redis://a,b', '2 hosts'],
    ['redis://:secret@', 'the host "" is not host or host:port'],
    ['redis://:secret@h:99999', 'port 99999 of host h'],
    ['redis://h:secret', 'is not host or host:port'],
    ['redis://h/zero', 'the path "/zero" is not empty'],
    ['redis+sentinel://:secret@a', 'needs the name of the master'],
    ['redis+sentinel://:secret@a/m/0/x', 'is not /master-name'],
    ['redis://:%zz@h', 'the password is not percent-encoded'],
    ['redis://h?ssl=1', 'there is no parameter "ssl"'],
  ])('%s is refused', (url, reason) => {
    const refused = (): unknown => redisBus({ url })
    expect(refused).toThrow(reason)
    if (url.includes(':secret@')) expect(refused).not.toThrow('secret')
  })
})
