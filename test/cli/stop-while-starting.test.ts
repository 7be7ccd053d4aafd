/** A stop signal while `ooo serve` waits for something to start with. */
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { CliProcess } from '../support/cli-process.ts'
import { freePort } from '../support/free-port.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { waitFor } from '../support/wait.ts'

const disk = SmallDisk.mount(6 * 1024 * 1024)
if (disk === undefined) console.log('skipped: a full disk: only root may mount a small one')

/** What a server's own limits are far above, and a stop far below, on a machine that is busy. */
const SOON_MS = 10_000

const started: CliProcess[] = []
const servers: Server[] = []
const sockets = new Set<Socket>()

beforeAll(prepareBuild, 300_000)
afterEach(async () => {
  await Promise.all(started.splice(0).map((command) => command.dispose()))
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))))
})
afterAll(() => disk?.unmount())

function start(...args: string[]): CliProcess {
  const node = new CliProcess(['serve', '--port', '0', ...args])
  started.push(node)
  return node
}

/** A server that takes connections and says nothing; `connected` counts them. */
async function silentServer(): Promise<{ port: number; connected: () => number }> {
  let connected = 0
  const server = createServer((socket) => {
    connected++
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  servers.push(server)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { port, connected: () => connected }
}

/** Sends SIGTERM and waits for an orderly end, which no wait of the start may hold up. */
async function expectToStop(node: CliProcess): Promise<void> {
  let code: number | null | undefined
  void node.ended.then((end) => {
    code = end.code
  })
  node.signal('SIGTERM')
  await waitFor(() => code !== undefined, { deadlineMs: SOON_MS, what: 'the end of the node' })
  expect(code).toBe(0)
  expect(node.stderr).not.toMatch(/^ooo: /m)
}

describe('a node that waits while it starts ends when it is told to', () => {
  it('for a PostgreSQL server that is not there', async () => {
    const port = await freePort()
    const node = start('--postgres', `postgres://ooo:secret@127.0.0.1:${port}/ooo`)
    await waitFor(() => node.stderr.includes('the database is not there yet'))
    await expectToStop(node)
  })

  it('for a PostgreSQL server that gives no answer', async () => {
    const { port, connected } = await silentServer()
    const node = start('--postgres', `postgres://ooo:secret@127.0.0.1:${port}/ooo`)
    await waitFor(() => connected() > 0)
    await expectToStop(node)
  })

  it('for a Redis server that gives no answer, as a bus and for the lease', async () => {
    const { port, connected } = await silentServer()
    const url = `redis://127.0.0.1:${port}`
    const node = start('--memory', '--key', 'a', '--leader', 'redis', '--redis', url)
    await waitFor(() => connected() > 0)
    await expectToStop(node)
  })

  it.skipIf(disk === undefined)('for room on its disk', async () => {
    await disk?.fill()
    const node = start('--data', join(disk?.directory ?? '', 'data'))
    await waitFor(() => node.stderr.includes('there is no room to start'))
    await expectToStop(node)
  })
})
