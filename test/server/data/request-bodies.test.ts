/** Request bodies have a bound together, and what the storage has no room for is refused before it is read. */
import * as http from 'node:http'
import { expect, it } from 'vitest'
import { HangingStorage } from '../../support/hanging-storage.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, serve, type TestServer } from '../serve.ts'

const KIB = 1024

/** A request whose body is sent bit by bit. */
class Upload {
  readonly status: Promise<number>
  readonly #outgoing: http.ClientRequest

  constructor(node: TestServer, path: string, bytes: number) {
    const headers = { 'content-type': 'application/json', 'content-length': String(bytes) }
    this.#outgoing = http.request(`${node.url}${path}`, { method: 'POST', headers, agent: false })
    this.status = new Promise((resolve, reject) => {
      this.#outgoing.once('error', reject)
      this.#outgoing.once('response', (answer) => {
        answer.resume()
        answer.once('end', () => resolve(answer.statusCode ?? 0))
      })
    })
    afterTest(() => this.#outgoing.destroy())
  }

  /** Resolves when the system has it. */
  send(text: string): Promise<void> {
    return new Promise((resolve) => this.#outgoing.write(text, () => resolve()))
  }

  end(text: string): void {
    this.#outgoing.end(text)
  }

  cut(): void {
    this.status.catch(() => undefined)
    this.#outgoing.destroy()
  }
}

const text = (bytes: number): string => `"${'x'.repeat(bytes - 2)}"`

it('holds bodies up to the bound, refuses the next one, and has room again when one is answered or cut', async () => {
  const node = await serve({ maxBodiesBytes: 400 * KIB })
  const slow = new Upload(node, '/slow', 360 * KIB)
  await slow.send(text(360 * KIB).slice(0, 320 * KIB))
  const cut = new Upload(node, '/cut', 360 * KIB)
  await cut.send(text(60 * KIB))
  // Both have arrived once there is no room for a third.
  const refused = await waitFor(async () => {
    const answer = await node.post('/third', text(120 * KIB))
    return answer.status === 503 ? answer : undefined
  })
  expect(refused.body).toMatch(/^ooo: request bodies of \d+ bytes are held, the limit is 409600$/)
  expect(refused.headers['retry-after']).toBe('1')
  // Reads need none.
  expect((await node.get('/slow')).status).toBe(404)
  cut.cut()
  await waitFor(async () => (await node.post('/third', text(75 * KIB))).status === 200)
  slow.end(text(360 * KIB).slice(320 * KIB))
  expect(await slow.status).toBe(200)
  await waitFor(async () => (await node.post('/third', text(360 * KIB))).status === 200)
})

it('takes a single body that is greater than the bound', async () => {
  const node = await serve({ maxBodiesBytes: 10 })
  expect((await node.post('/great', text(1000))).status).toBe(200)
  expect((await node.post('/great', text(1000))).status).toBe(200)
})

it('refuses what the storage has no room for before it reads the body', async () => {
  const storage = new HangingStorage()
  const node = await serve({ storage, maxBodyBytes: 20 * KIB * KIB, maxBodiesBytes: 2 ** 30 })
  storage.hang()
  afterTest(() => storage.goOn())
  const writes = [1, 2, 3].map((n) => node.post(`/k${n}`, text(10 * KIB * KIB)))
  await waitFor(() => node.server.store.backlog.writes === 3)
  const late = new Upload(node, '/late', 10 * KIB * KIB)
  await late.send('"')
  expect(await late.status).toBe(503)
  expect(JSON.parse((await node.get('/?api=storage')).body)).toMatchObject({
    waitingWrites: 3,
    refusedWrites: 1,
  })
  storage.goOn()
  expect((await Promise.all(writes)).map(({ status }) => status)).toEqual([200, 200, 200])
})
