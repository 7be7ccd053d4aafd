import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { nextFreeRange } from '../../cli/supervise/ports.ts'
import { PROJECT_ROOT, prepareBuild } from '../support/built.ts'
import { CliProcess, isRunning } from '../support/cli-process.ts'
import { waitFor } from '../support/wait.ts'

const HOST = '127.0.0.1'
const READY = /Ctrl-C stops all nodes\./

let folder = ''
const started: CliProcess[] = []

beforeAll(prepareBuild, 180_000)
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ooo dev '))
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((command) => command.dispose()))
  await rm(folder, { recursive: true, force: true })
})

/** Below the ports that outgoing connections take, and away from those of other tests. */
async function freeBase(count = 3): Promise<number> {
  const from = 12_000 + Math.floor(Math.random() * 6_000)
  const base = await nextFreeRange(HOST, from, count)
  if (base === undefined) throw new Error(`no ${count} free ports above ${from}`)
  return base
}

function start(port: number, ...args: string[]): CliProcess {
  const command = new CliProcess(['dev', '--port', `${port}`, '--data', folder, ...args])
  started.push(command)
  return command
}

/** Every process below this one. */
async function descendantsOf(pid: number): Promise<number[]> {
  const children = await childrenOf(pid)
  return [...children, ...(await Promise.all(children.map(descendantsOf))).flat()]
}

const urlOf = (port: number): string => `http://${HOST}:${port}`

const textOf = async (url: string): Promise<string> => (await fetch(url)).text()

/** Pids of the processes that were started by a process. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim().split(/\s+/).filter(Boolean).map(Number)
}

/** The pid of the node with a name, by the command lines of the children. */
async function pidOf(dev: CliProcess, name: string): Promise<number> {
  for (const pid of await childrenOf(dev.pid)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8')
    if (line.includes(`\0--name\0${name}\0`)) return pid
  }
  throw new Error(`no child is ${name}`)
}

async function gone(pids: readonly number[], what: string): Promise<void> {
  await waitFor(() => !pids.some(isRunning), { deadlineMs: 60_000, what })
}

describe('ooo dev', () => {
  it('runs a cluster, says so in a table, and stops it without leaving anything', async () => {
    const port = await freeBase()
    const dev = start(port)
    await dev.output(READY)
    const rows = dev.stdout.split('\n').filter((line) => /^node-\d {2}/.test(line))
    expect(rows.map((row) => row.split(/ {2,}/).slice(0, 3))).toEqual([
      ['node-1', 'leader', urlOf(port)],
      ['node-2', 'follower', urlOf(port + 1)],
      ['node-3', 'follower', urlOf(port + 2)],
    ])
    const pids = await childrenOf(dev.pid)
    expect(pids).toHaveLength(3)
    dev.signal('SIGTERM')
    expect((await dev.ended).code).toBe(0)
    expect(pids.filter(isRunning)).toEqual([])
    expect(dev.stderr).toContain('all nodes are stopped')
  })

  it('prints commands that work as printed', async () => {
    const dev = start(await freeBase())
    await dev.output(READY)
    const commands = dev.stdout.split('\n').flatMap((line) => /^ {2}(\S.*)$/.exec(line)?.[1] ?? [])
    const [watch = '', write = '', read = ''] = commands
    expect(commands).toHaveLength(3)
    const shell = promisify(execFile)
    const run = (command: string) => shell('bash', ['-c', command], { cwd: PROJECT_ROOT })
    const index: string = JSON.parse((await run(write)).stdout).index
    await waitFor(async () => (await run(read)).stdout.includes(index), {
      what: 'the entry on the leader',
    })
    const watcher = new CliProcess([], { command: ['bash', '-c', `exec ${watch}`] })
    started.push(watcher)
    await watcher.output(new RegExp(`"index":"${index}"`))
  })

  it('keeps its state over a restart', async () => {
    const port = await freeBase()
    const first = start(port)
    await first.output(READY)
    const write = { method: 'POST', body: '{"n":12345678901234567890}' }
    expect((await fetch(`${urlOf(port + 1)}/settings`, write)).status).toBe(200)
    const before = await textOf(`${urlOf(port + 1)}/settings`)
    first.signal('SIGINT')
    expect((await first.ended).code).toBe(0)
    await start(port).output(READY)
    expect(before).toContain(write.body)
    for (const node of [port, port + 1, port + 2]) {
      await waitFor(async () => (await textOf(`${urlOf(node)}/settings`)) === before)
    }
  })

  it('starts a node again that was killed, and says so', async () => {
    const port = await freeBase()
    const dev = start(port)
    await dev.output(READY)
    const pid = await pidOf(dev, 'node-2')
    process.kill(pid, 'SIGKILL')
    const news = /node-2 ! ended by itself \(SIGKILL\)\nnode-2 ! starts again in \d+ ms\n/
    await waitFor(() => news.test(dev.stderr), { what: 'news of the crash' })
    await waitFor(async () => (await fetch(`${urlOf(port + 1)}/items/*`)).status === 200, {
      deadlineMs: 60_000,
      what: 'the node again',
    })
    expect(await pidOf(dev, 'node-2')).not.toBe(pid)
  })

  it('stops once when the whole process group is told, as a terminal does on Ctrl-C', async () => {
    const dev = start(await freeBase())
    await dev.output(READY)
    const pids = await childrenOf(dev.pid)
    for (const pid of [...pids, dev.pid]) process.kill(pid, 'SIGINT')
    expect((await dev.ended).code).toBe(0)
    expect(dev.stderr).not.toContain('ended by itself')
    expect(pids.filter(isRunning)).toEqual([])
  })

  it('leaves no node behind when it is killed itself', async () => {
    const dev = start(await freeBase())
    await dev.output(READY)
    const pids = await childrenOf(dev.pid)
    dev.signal('SIGKILL')
    await dev.ended
    await gone(pids, 'the end of all nodes')
  })

  it('kills its nodes and ends at once when asked twice', async () => {
    const dev = start(await freeBase())
    await dev.output(READY)
    const pids = await childrenOf(dev.pid)
    // A stopped process cannot end cleanly, so the first request stays pending.
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    dev.signal('SIGTERM')
    dev.signal('SIGTERM')
    dev.signal('SIGINT')
    const { code } = await dev.ended
    expect([130, 143]).toContain(code)
    await gone(pids, 'the end of all nodes')
  })

  it('says which ports are taken and names ports that are not', async () => {
    const port = await freeBase()
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(port + 1, HOST, resolve))
    try {
      const dev = start(port)
      const end = await dev.ended
      expect(end.code).toBe(1)
      expect(end.stdout).toBe('')
      expect(end.stderr).toMatch(
        new RegExp(
          `^ooo: port ${port + 1} is taken on 127\\.0\\.0\\.1 by another process; 3 nodes need the ports ${port} to ${port + 2}\\. Choose others with --port \\d+\n$`,
        ),
      )
    } finally {
      other.close()
    }
  })

  it('gives up, with the reason, when a node cannot start at all', async () => {
    const port = await freeBase(1)
    const blocked = join(folder, 'file')
    await writeFile(blocked, '')
    const dev = new CliProcess(['dev', '--port', `${port}`, '--nodes', '1', '--data', blocked])
    started.push(dev)
    const end = await dev.ended
    expect(end.code).toBe(1)
    expect(end.stdout).toMatch(/^node-1 \| ooo: .*file/m)
    expect(end.stderr).toContain('not all nodes could start')
  })

  it('passes the cluster token on without showing it', async () => {
    const port = await freeBase(2)
    const dev = start(port, '--nodes', '2', '--cluster-token', 'hush-hush', '--log-level', 'debug')
    await dev.output(READY)
    await waitFor(async () => (await textOf(`${urlOf(port)}/nodes/*`)) !== '[]', {
      deadlineMs: 60_000,
      what: 'the follower among the nodes',
    })
    for (const pid of await childrenOf(dev.pid)) {
      expect(await readFile(`/proc/${pid}/cmdline`, 'utf8')).not.toContain('hush-hush')
    }
    expect(dev.stdout + dev.stderr).not.toContain('hush-hush')
  })
})

describe('npm start', () => {
  /** A terminal sends Ctrl-C to every process; a service manager sends SIGTERM to npm alone. */
  it.each([
    ['SIGTERM to npm', 'SIGTERM', (npm: number, _all: readonly number[]) => [npm]],
    ['Ctrl-C', 'SIGINT', (npm: number, all: readonly number[]) => [npm, ...all]],
  ] as const)('leaves no process behind after %s', async (_name, signal, receivers) => {
    const port = await freeBase()
    const npm = new CliProcess(['--port', `${port}`, '--data', folder], {
      command: ['npm', 'start', '--'],
    })
    started.push(npm)
    await npm.output(READY)
    const pids = await descendantsOf(npm.pid)
    try {
      expect(pids.length).toBeGreaterThanOrEqual(4)
      for (const pid of receivers(npm.pid, pids)) process.kill(pid, signal)
      await gone(pids, 'npm start to leave no process')
      expect((await npm.ended).stderr).toContain('all nodes are stopped')
    } finally {
      for (const pid of pids.filter(isRunning)) process.kill(pid, 'SIGKILL')
    }
  })
})
