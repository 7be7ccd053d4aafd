/** What all clients together may make a node hold, and what is refused of a single value. */
import { once } from 'node:events'
import * as net from 'node:net'
import { describe, expect, it } from 'vitest'
import { memoryLimits } from '../../../src/server/contract/memory-limits.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, serve, type TestServer } from '../serve.ts'

const MIB = 1024 * 1024

/** A connection that has sent this and reads nothing until it is asked to. */
async function connection(server: TestServer, sent: string): Promise<net.Socket> {
  const socket = net.connect({ port: server.port, host: '127.0.0.1' })
  afterTest(() => socket.destroy())
  socket.on('error', () => undefined)
  socket.pause()
  await once(socket, 'connect')
  socket.write(sent)
  return socket
}

function head(method: string, path: string, bytes: number): string {
  return `${method} ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${bytes}\r\n\r\n`
}

describe('the depth and the members of JSON', () => {
  const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`

  it('are bounded for every way in that a client has', async () => {
    const server = await serve({ maxJsonDepth: 20, maxJsonMembers: 100 })
    expect((await server.post('/a', deep(20))).status).toBe(200)
    const tooDeep = { status: 400, body: expect.stringContaining('nested deeper than 20') }
    expect(await server.post('/a', deep(21))).toMatchObject(tooDeep)
    expect(await server.post('/a/*', deep(21))).toMatchObject(tooDeep)
    const batch = `{"operations":[{"op":"set","path":"b","data":${deep(18)}}]}`
    expect(await server.request('POST', '/-/batch', batch)).toMatchObject(tooDeep)
    const many = `[${'1,'.repeat(100)}1]`
    const tooMany = { status: 413, body: expect.stringContaining('100 members') }
    expect(await server.post('/a', many)).toMatchObject(tooMany)
    await expect(server.server.set('c', JSON.parse(many))).rejects.toThrow('100 members')
    await expect(server.server.set('c', JSON.parse(deep(21)))).rejects.toThrow('deeper than 20')
  })

  it('hold for what a PATCH makes of a document too', async () => {
    const server = await serve({ maxJsonDepth: 20, maxJsonMembers: 100 })
    await server.post('/doc', '{}')
    const part = (name: string): string => `{"${name}":[${'1,'.repeat(40)}1]}`
    expect((await server.request('PATCH', '/doc', part('a'))).status).toBe(200)
    expect((await server.request('PATCH', '/doc', part('b'))).status).toBe(200)
    expect(await server.request('PATCH', '/doc', part('c'))).toMatchObject({ status: 413 })
  })

  it('let in 512 levels and a million objects by default', async () => {
    const server = await serve()
    expect((await server.post('/a', deep(512))).status).toBe(200)
    expect((await server.post('/a', deep(513))).status).toBe(400)
    expect((await server.post('/a', `[${'{},'.repeat(MIB)}{}]`)).status).toBe(200)
    expect((await server.post('/a', `[${'1,'.repeat(4_000_000)}1]`)).status).toBe(413)
  })
})

describe('the text of a refusal', () => {
  it('of a merge names the first conflicts, and shortens what is long', async () => {
    const server = await serve()
    const names = Array.from({ length: 1000 }, (_, i) => `${'n'.repeat(1000)}${i}`)
    const object = (value: string): string => `{${names.map((n) => `"${n}":${value}`).join(',')}}`
    await server.post('/doc', object('{}'))
    const { status, body } = await server.request('PATCH', '/doc', object('1'))
    expect(status).toBe(400)
    expect(body).toContain('merge: patch value must be object for key "nnn')
    expect(body).toContain('and 980 more')
    expect(body.length).toBeLessThan(8200)
  })

  it('does not repeat a long member of a batch', async () => {
    const server = await serve()
    const { status, body } = await server.request('POST', '/-/batch', `{"${'x'.repeat(MIB)}":1}`)
    expect(status).toBe(400)
    expect(body.length).toBeLessThan(8200)
  })
})

describe('the bodies of all requests together', () => {
  it('are bounded: one more is told when to come back, and is let in later', async () => {
    const server = await serve({ maxBodiesBytes: 3 * MIB })
    const slow = await Promise.all(
      [0, 1].map((i) =>
        connection(server, `${head('POST', `/s${i}`, MIB + 300_000)}"${'x'.repeat(MIB + 200_000)}`),
      ),
    )
    await waitFor(() => server.server.memoryMetrics.bodiesBytes >= 2 * MIB + 400_000)
    const text = JSON.stringify('y'.repeat(MIB))
    const refused = await server.post('/a', text)
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    expect(refused.body).toContain(`the limit is ${3 * MIB}`)
    expect((await server.post('/small', '1')).status).toBe(200)
    for (const socket of slow) socket.destroy()
    await waitFor(() => server.server.memoryMetrics.bodiesBytes === 0)
    expect((await server.post('/a', text)).status).toBe(200)
  })

  it('may be passed by a request that is alone', async () => {
    const server = await serve({ maxBodiesBytes: 1000 })
    expect((await server.post('/a', JSON.stringify('y'.repeat(MIB)))).status).toBe(200)
  })
})

describe('the answers that nobody reads', () => {
  it('are bounded: those who take nothing give way', async () => {
    const server = await serve({ maxAnswerBytes: 20 * MIB, compression: false })
    await server.post('/big', JSON.stringify('z'.repeat(6 * MIB)))
    const closed: number[] = []
    for (let i = 0; i < 3; i++) {
      const socket = await connection(server, head('GET', '/big', 0))
      socket.once('close', () => closed.push(i))
    }
    const answers = (): number => server.server.memoryMetrics.answerBytes
    await waitFor(() => answers() >= 18 * MIB)
    let last = 0
    // Nobody is cut at once: there has to be proof that nothing is taken.
    await waitFor(async () => {
      last = (await server.get('/big')).status
      return last === 200
    })
    expect(last).toBe(200)
    expect(answers()).toBeLessThanOrEqual(20 * MIB)
  })

  it('hold little of a long list, and a list waits until those who take nothing give way', async () => {
    const server = await serve({ maxAnswerBytes: 800_000, compression: false })
    for (let i = 0; i < 20; i++) await server.post(`/big/${i}`, JSON.stringify('z'.repeat(MIB)))
    const answers = (): number => server.server.memoryMetrics.answerBytes
    for (let i = 0; i < 3; i++) await connection(server, head('GET', '/big/*', 0))
    await waitFor(() => answers() >= 700_000)
    const read = await server.get('/big/*')
    expect(read).toMatchObject({ status: 200 })
    expect(read.headers['content-length']).toBe(String(read.body.length))
    expect(JSON.parse(read.body)).toHaveLength(20)
    expect(answers()).toBeLessThanOrEqual(800_000)
    expect(server.server.memoryMetrics.answersCut).toBeGreaterThan(0)
  })
})

describe('the places to wait for writes', () => {
  it('are shared: one address leaves as many as it holds', async () => {
    const server = await serve()
    const written = await server.post('/k', '1')
    const id = written.headers['ooo-write-id']
    const path = `/-/writes/${id}?key=k&until=5&timeoutMs=60000`
    const ask = async (): Promise<net.Socket> => connection(server, head('GET', path, 0))
    for (let i = 0; i < 500; i++) await ask()
    await waitFor(() => server.server.memoryMetrics.waiters === 500)
    const refused = await server.get(path)
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    const elsewhere = net.connect({
      ...{ port: server.port, host: '127.0.0.1', localAddress: '127.0.0.2' },
    })
    afterTest(() => elsewhere.destroy())
    elsewhere.write(head('GET', path, 0))
    await waitFor(() => server.server.memoryMetrics.waiters === 501)
  })
})

describe('defaults', () => {
  it('follow the heap', () => {
    expect(memoryLimits({}, 256 * MIB)).toMatchObject({
      ...{ maxBodiesBytes: 64 * MIB, maxAnswerBytes: 64 * MIB },
      ...{ maxUnreadBytes: 64 * MIB, maxPoolBytes: 32 * MIB, maxJsonMembers: 2_236_962 },
    })
    expect(memoryLimits({}, 1).maxBodiesBytes).toBe(16 * MIB)
    expect(memoryLimits({ maxPoolBytes: 1 }, 64_000 * MIB)).toMatchObject({
      ...{ maxBodiesBytes: 256 * MIB, maxPoolBytes: 1 },
    })
  })
})
