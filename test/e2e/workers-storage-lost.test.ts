/** A node with worker processes that loses its storage: nothing of it shows anything stale, and it ends. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type * as Api from '../../src/index.ts'
import type * as Memory from '../../storage-adapters/memory/memory.ts'
import { afterTest, SocketClient, TestServer } from '../server/serve.ts'
import { PROJECT_ROOT, prepareBuild } from '../support/built.ts'
import { CliProcess } from '../support/cli-process.ts'
import { request } from '../support/http.ts'
import { waitFor } from '../support/wait.ts'

const WORKERS = 2
/** More than any spread over workers leaves one without. */
const SUBSCRIBERS = 6
const built = async <T>(path: string): Promise<T> => import(`${PROJECT_ROOT}/dist/${path}.js`)

beforeAll(prepareBuild, 300_000)

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

function workersOf(pid: number): number[] {
  const lines = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(pid)], {
    encoding: 'utf8',
  })
  const found = lines.split('\n').filter((line) => line.includes('workers/process.js'))
  return found.map((line) => Number.parseInt(line, 10))
}

/** Open sockets of a process; Linux only. */
function socketsOf(pid: number): number {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).filter((fd) => readlinkSync(join(folder, fd)).startsWith('socket:'))
    .length
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function subscribers(url: string): Promise<SocketClient[]> {
  const clients = Array.from(
    { length: SUBSCRIBERS },
    () => new SocketClient(`${url.replace('http', 'ws')}/items/*`),
  )
  await Promise.all(clients.map((client) => waitFor(() => client.state !== undefined)))
  return clients
}

describe('a node with workers whose storage is lost', () => {
  it('ends the subscriptions of every worker, and answers no read', async () => {
    const { createServer, StateError } = await built<typeof Api>('src/index')
    const { MemoryStorage } = await built<typeof Memory>('storage-adapters/memory/memory')
    let lose: (reason: InstanceType<typeof StateError>) => void = () => undefined
    class LosableStorage extends MemoryStorage {
      readonly lost = new Promise<InstanceType<typeof StateError>>((resolve) => {
        lose = resolve
      })
    }
    const server = createServer({ storage: new LosableStorage(), port: 0, workers: WORKERS })
    afterTest(() => server.close())
    await server.open()
    const node = new TestServer(server)
    await node.post('/items/a', '1')
    const clients = await subscribers(node.url)
    expect(workersOf(process.pid)).toHaveLength(WORKERS)
    expect(server.socketMetrics.workers).toBe(WORKERS)
    lose(new StateError('in_use', 'storage: taken', { isAway: true }))
    const closes = await Promise.all(clients.map((client) => waitFor(() => client.closed)))
    expect(closes).toEqual(clients.map(() => expect.objectContaining({ code: 4007 })))
    expect((await node.get('/items/a')).status).toBe(503)
    await expect(node.subscribe('/items/*')).rejects.toThrow('503')
  })

  it('exits with 1, and so do its workers', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ooo lost '))
    undo.push(() => rm(folder, { recursive: true, force: true }))
    const data = join(folder, 'data')
    const args = ['serve', '--port', '0', '--data', data, '--workers', String(WORKERS)]
    const node = new CliProcess(args)
    undo.push(() => node.dispose())
    const [, url = ''] = await node.output(/serving (http:\S+)/)
    expect((await request('POST', `${url}/items/a`, { body: '1' })).status).toBe(200)
    const workers = workersOf(node.pid)
    expect(workers).toHaveLength(WORKERS)
    const before = workers.map(socketsOf)
    const clients = await subscribers(url)
    const held = workers.map((pid, i) => socketsOf(pid) - (before[i] ?? 0))
    expect(held).toEqual(workers.map(() => SUBSCRIBERS / WORKERS))
    await rm(data, { recursive: true, force: true })
    const end = await node.ended
    expect([end.code, end.stderr]).toEqual([1, expect.stringContaining('can be started again')])
    await Promise.all(clients.map((client) => waitFor(() => client.closed)))
    await waitFor(() => !workers.some(isRunning), { what: 'the end of the workers' })
  })
})
