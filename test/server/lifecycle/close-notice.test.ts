import http from 'node:http'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { KeptConnections } from '../../../src/server/kept-connections.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { type Answer, request } from '../../support/http.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, serve } from '../serve.ts'

/** Longer than a test may take: what ends earlier did so by itself. */
const LONG_MS = 60_000

/** Asks on one connection, which is kept; writes where no path is given. */
function keptClient(url: string, path?: string): () => Promise<Answer> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  afterTest(() => agent.destroy())
  if (path !== undefined) return () => request('GET', `${url}/${path}`, { agent })
  return () => request('POST', `${url}/a`, { agent, body: '1' })
}

describe('a node that closes, on connections that are kept', () => {
  it('answers each once more, ends it with that answer, and is closed when all have ended', async () => {
    const { server, url } = await serve({ closeNoticeMs: LONG_MS })
    const clients = [keptClient(url), keptClient(url)]
    for (const ask of clients) expect((await ask()).headers.connection).toBe('keep-alive')
    const closed = server.close()
    // Whoever comes anew is told at once to go elsewhere, and knows that nothing was done.
    await waitFor(async () => {
      const error = await request('GET', `${url}/-/healthz`).catch((thrown: Error) => thrown)
      return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED'
    })
    for (const ask of clients) {
      const { status, headers } = await ask()
      expect([status, headers.connection]).toEqual([200, 'close'])
    }
    await closed
  })

  it('waits for one that is asked on again when its answer began before', async () => {
    const { server, url } = await serve({ closeNoticeMs: LONG_MS })
    let release: (() => void) | undefined
    server.use(async (_request, _response, next) => {
      if (release === undefined) await new Promise<void>((resolve) => (release = resolve))
      await next()
    })
    const ask = keptClient(url)
    const first = ask()
    await waitFor(() => release !== undefined)
    const closed = server.close()
    release?.()
    expect((await first).status).toBe(200)
    expect((await ask()).headers.connection).toBe('close')
    await closed
  })

  it('says that it closes, and is alive meanwhile', async () => {
    const { server, url } = await serve({ closeNoticeMs: LONG_MS })
    const [ready, alive] = [keptClient(url, '-/readyz'), keptClient(url, '-/healthz')]
    await Promise.all([ready(), alive()])
    const closed = server.close()
    const { status, body } = await ready()
    expect([status, JSON.parse(body)]).toMatchObject([503, { status: 'closing' }])
    expect((await alive()).status).toBe(200)
    await closed
  })
})

describe('kept connections', () => {
  const isOver = (waited: Promise<void>): Promise<boolean> =>
    Promise.race([waited.then(() => true), new Promise<false>((done) => setImmediate(done, false))])

  it('are waited for when they were used lately, and not for longer than that', async () => {
    const time = new FakeTime()
    const kept = new KeptConnections(time)
    kept.used(new PassThrough())
    time.advance(200)
    const waited = kept.whenUsedHaveEnded(500)
    time.advance(499)
    expect(await isOver(waited)).toBe(false)
    time.advance(1)
    expect(await isOver(waited)).toBe(true)
  })

  it('are not waited for when they have been idle for as long, or have ended', async () => {
    const time = new FakeTime()
    const kept = new KeptConnections(time)
    const [idle, busy] = [new PassThrough(), new PassThrough()]
    kept.used(idle)
    time.advance(501)
    expect(await isOver(kept.whenUsedHaveEnded(500))).toBe(true)
    kept.used(busy)
    const waited = kept.whenUsedHaveEnded(500)
    expect(await isOver(waited)).toBe(false)
    busy.destroy()
    await waited
  })
})
