import http from 'node:http'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { KeptConnections } from '../../src/server/kept-connections.ts'
import { FakeTime } from '../support/fake-time.ts'
import { type Answer, request } from '../support/http.ts'
import { waitFor } from '../support/wait.ts'
import { afterTest, serve } from './serve.ts'

/** Longer than a test may take: what ends earlier did so by itself. */
const LONG_MS = 60_000

/** Asks on one connection, which is kept. */
function keptClient(url: string): () => Promise<Answer> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  afterTest(() => agent.destroy())
  return () => request('POST', `${url}/a`, { agent, body: '1' })
}

/** Resolves when the node says that it is about to close. */
async function isLeaving(url: string): Promise<void> {
  await waitFor(async () => (await request('GET', `${url}/-/readyz`)).status === 503)
}

describe('a node that closes, on connections that are kept', () => {
  it('answers each once more, ends it with that answer, and is closed when all have ended', async () => {
    const { server, url } = await serve({ closeNoticeMs: LONG_MS })
    const clients = [keptClient(url), keptClient(url)]
    for (const ask of clients) expect((await ask()).headers.connection).toBe('keep-alive')
    const closed = server.close()
    await isLeaving(url)
    for (const ask of clients) {
      const { status, headers } = await ask()
      expect([status, headers.connection]).toEqual([200, 'close'])
    }
    await closed
  })

  it('takes new ones, too, and is alive meanwhile', async () => {
    const { server, url } = await serve({ closeNoticeMs: LONG_MS })
    const ask = keptClient(url)
    await ask()
    const closed = server.close()
    await isLeaving(url)
    expect((await request('POST', `${url}/b`, { body: '2' })).status).toBe(200)
    expect((await request('GET', `${url}/-/healthz`)).status).toBe(200)
    const { body } = await request('GET', `${url}/-/readyz`)
    expect(JSON.parse(body)).toMatchObject({ status: 'closing' })
    await ask()
    await closed
  })
})

describe('kept connections', () => {
  const isOver = (waited: Promise<void>): Promise<boolean> =>
    Promise.race([waited.then(() => true), new Promise<false>((done) => setImmediate(done, false))])

  it('are waited for when they were used lately, and not for longer than that', async () => {
    const time = new FakeTime()
    const kept = new KeptConnections(time)
    kept.answered(new PassThrough())
    time.advance(200)
    const waited = kept.whenUsedHaveEnded(500)
    time.advance(499)
    expect(await isOver(waited)).toBe(false)
    time.advance(1)
    expect(await isOver(waited)).toBe(true)
  })

  it('are not waited for when they have been idle for as long, have ended, or with no time to wait', async () => {
    const time = new FakeTime()
    const kept = new KeptConnections(time)
    const [idle, busy] = [new PassThrough(), new PassThrough()]
    kept.answered(idle)
    time.advance(501)
    expect(await isOver(kept.whenUsedHaveEnded(500))).toBe(true)
    kept.answered(busy)
    expect(await isOver(kept.whenUsedHaveEnded(0))).toBe(true)
    const waited = kept.whenUsedHaveEnded(500)
    expect(await isOver(waited)).toBe(false)
    busy.destroy()
    await waited
  })
})
