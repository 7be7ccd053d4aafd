/** The bus over Redis with TLS, under a Sentinel whose master dies, and over a Redis Cluster. */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { redisBus } from '../../cluster/bus/redis.ts'
import { BusTrio } from '../support/bus-trio.ts'
import { CertificateFolder, NO_OPENSSL } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { ask, RedisForms } from '../support/redis-forms.ts'
import { findRedis } from '../support/redis-program.ts'
import { waitFor } from '../support/wait.ts'

const TIMEOUT = { timeout: 180_000 }
const WAIT = { deadlineMs: 60_000 }
const ADVICE = 'no redis-server program here (Debian: apt install redis-server)'

const program = findRedis()
let forms = new RedisForms(program ?? '')

beforeEach((context) => {
  if (program !== undefined) return
  if (process.env.CI === 'true') throw new Error(ADVICE)
  context.skip(ADVICE)
})

afterEach(async () => {
  await forms.end()
  forms = new RedisForms(program ?? '')
})

describe('a Redis with TLS and a password', () => {
  test(
    'carries changes to whoever trusts its authority and knows the password',
    TIMEOUT,
    async ({ skip }) => {
      skip(NO_OPENSSL !== undefined, NO_OPENSSL)
      const certificates = new CertificateFolder()
      const others = new CertificateFolder()
      try {
        const { caFile } = certificates
        const { port } = await forms.secure({ ...certificates.issue('redis'), caFile }, 'p@ss:word')
        const url = `rediss://:${encodeURIComponent('p@ss:word')}@localhost:${port}`
        const ca = readFileSync(caFile, 'utf8')
        const trio = await BusTrio.start([url, url, url], ca)
        await trio.onBus()
        await trio.writes(60)
        await trio.finish()
        const wrong = [
          [redisBus({ url, ca: readFileSync(others.caFile, 'utf8') }), /certificate/],
          [redisBus({ url: `rediss://:guess@localhost:${port}`, ca }), /WRONGPASS|NOAUTH/],
          [redisBus({ url: `rediss://localhost:${port}`, ca }), /NOAUTH/],
        ] as const
        for (const [bus, reason] of wrong) {
          expect(bus.publish('ooo:x', 'x')).toBe(false)
          await waitFor(() => reason.test(bus.status().publishing.lastError ?? ''), {
            ...WAIT,
            what: String(reason),
          })
          expect(JSON.stringify(bus.status())).not.toMatch(/p@ss|guess/)
          await bus.close()
        }
      } finally {
        certificates.remove()
        others.remove()
      }
    },
  )
})

describe('a Redis under a Sentinel', () => {
  test('whose master is killed goes on with another one', TIMEOUT, async () => {
    const [first, second] = [await freePort(), await freePort()]
    const master = await forms.plain(first)
    await forms.plain(second, first)
    const sentinel = await forms.sentinel('main', first)
    await waitFor(
      async () =>
        (await ask(sentinel.port, 'SENTINEL', 'REPLICAS', 'main')).includes(String(second)),
      { ...WAIT, what: 'the Sentinel to know the replica' },
    )
    const url = `redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinel.port}/main`
    const trio = await BusTrio.start([url, url, url])
    await trio.onBus()
    await trio.writes(60)
    await master.server.kill()
    await trio.onStream()
    await trio.writes(60)
    await waitFor(
      async () =>
        (await ask(sentinel.port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')).includes(
          String(second),
        ),
      { ...WAIT, what: 'the Sentinel to change over' },
    )
    await trio.onBus()
    await trio.writes(60)
    await trio.finish()
  })
})

describe('a Redis Cluster', () => {
  test('carries changes from any node to any other, and goes on without one', TIMEOUT, async () => {
    const nodes = await forms.cluster()
    const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`)
    const from = (i: number): string =>
      `redis+cluster://${[...hosts.slice(i), ...hosts.slice(0, i)].join(',')}`
    const trio = await BusTrio.start([from(0), from(1), from(2)])
    await trio.onBus()
    await trio.writes(60)
    await nodes[1]?.server.kill()
    await trio.writes(60)
    await trio.onBus()
    await nodes[0]?.server.kill()
    await trio.writes(60)
    await trio.onBus()
    await trio.finish()
  })
})
