/** The lease in every form that Redis runs in: behind TLS, under a Sentinel, as a Redis Cluster. */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NO_MARK } from '../../../cluster/election/lease/lease.ts'
import { type RedisLeaseOptions, redisLease } from '../../../cluster/election/lease/redis-lease.ts'
import { redisScripts } from '../../../cluster/election/lease/redis-scripts.ts'
import { CertificateFolder, NO_OPENSSL } from '../../support/certificates.ts'
import { freePort } from '../../support/free-port.ts'
import { RedisForms } from '../../support/redis-forms.ts'
import { findRedis } from '../../support/redis-program.ts'
import { waitFor } from '../../support/wait.ts'

const WAIT = { deadlineMs: 60_000, intervalMs: 50 }
const program = findRedis()
const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function lease(url: string, ca?: readonly string[]): ReturnType<typeof redisLease> {
  const scripts = redisScripts({ url, ca, timeoutMs: 2000, random: Math.random })
  closers.push(() => scripts.close())
  const self: RedisLeaseOptions['self'] = { id: 'a', url: 'http://a:1', session: 's' }
  return redisLease({ scripts, name: 'ooo-cluster', durationMs: 60_000, self })
}

describe.skipIf(program === undefined)('the lease', () => {
  let forms: RedisForms

  beforeEach(() => {
    forms = new RedisForms(program ?? '')
    closers.push(() => forms.end())
  })

  it.skipIf(NO_OPENSSL !== undefined)('is kept behind TLS and a password', async () => {
    const certificates = new CertificateFolder()
    closers.push(() => certificates.remove())
    const { certFile, keyFile } = certificates.issue('redis')
    const { caFile } = certificates
    const { port } = await forms.secure({ certFile, keyFile, caFile }, 'secret')
    const trusted = lease(`rediss://:secret@127.0.0.1:${port}`, [readFileSync(caFile, 'utf8')])
    expect(await waitFor(() => trusted.take(0), WAIT)).toMatchObject({ isMine: true, token: 1 })
    const wrong = lease(`rediss://:wrong@127.0.0.1:${port}`, [readFileSync(caFile, 'utf8')])
    const reason = await waitFor(
      () =>
        wrong.look().then(undefined, (error) => /WRONGPASS/.test(String(error)) && String(error)),
      WAIT,
    )
    expect(reason).not.toContain('wrong@')
  })

  it('is kept under a Sentinel, and goes on when another server takes over', async () => {
    const [port, other] = [await freePort(), await freePort()]
    const master = await forms.plain(port)
    await forms.plain(other, port)
    const { port: sentinel } = await forms.sentinel('main', port)
    const own = lease(`redis+sentinel://127.0.0.1:${sentinel}/main`)
    const first = await waitFor(() => own.take(0), WAIT)
    expect(first).toMatchObject({ isMine: true, token: 1 })
    await master.server.kill()
    // The replica has the lease or has it not: it is restored, by its number.
    const after = await waitFor(async () => {
      const view = await own.renew(1, NO_MARK)
      return view.isMine && view
    }, WAIT)
    expect(after.token).toBe(1)
  })

  it('is kept by the node of a Redis Cluster that has its keys', async () => {
    const nodes = await forms.cluster()
    const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')
    const own = lease(`redis+cluster://${hosts}`)
    expect(await waitFor(() => own.take(0), WAIT)).toMatchObject({ isMine: true, token: 1 })
    expect(await own.renew(1, NO_MARK)).toMatchObject({ isMine: true })
    await own.release(1)
    expect(await own.look()).toMatchObject({ holder: undefined, token: 1 })
  })
})
