import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { type CliOptions, CliProcess, runCli } from '../support/cli-process.ts'
import { freePort } from '../support/free-port.ts'
import { waitFor } from '../support/wait.ts'

const READY = /^ooo: "([^"]*)" serving (http:\/\/\S+) \((.*)\)$/m

let folder = ''
const started: CliProcess[] = []

beforeAll(prepareBuild, 180_000)
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ooo serve '))
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((command) => command.dispose()))
  await rm(folder, { recursive: true, force: true })
})

function start(args: readonly string[], options?: CliOptions): CliProcess {
  const command = new CliProcess(args, options)
  started.push(command)
  return command
}

/** A node in memory on a free port, and its URL. */
async function startNode(...args: string[]): Promise<{ node: CliProcess; url: string }> {
  const node = start(['serve', '--port', '0', '--memory', ...args])
  const [, , url = ''] = await node.output(READY)
  return { node, url }
}

describe('ooo serve', () => {
  it('says on one line of standard output what it serves, and nothing else', async () => {
    const node = start(['serve', '--port=0', '--memory', '--name=kitchen', '--key=a,items/*'])
    const [line, name, url = '', role] = await node.output(READY)
    expect(name).toBe('kitchen')
    expect(role).toBe('leader of a, items/*')
    expect((await fetch(`${url}/items/*`)).status).toBe(200)
    expect(node.stdout).toBe(`${line}\n`)
    expect(node.stderr).toBe('')
  })

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'closes cleanly on %s, even while a subscriber is connected',
    async (signal) => {
      const { node, url } = await startNode()
      const watcher = start(['watch', url, 'items/*'])
      await waitFor(() => watcher.stderr.includes('watching'), { deadlineMs: 60_000 })
      node.signal(signal)
      const end = await node.ended
      expect(end.code).toBe(0)
      expect(end.stderr).toContain(`info stopping because=${signal}`)
    },
  )

  it('keeps its data over a restart, digit for digit', async () => {
    const args = ['serve', '--port', '0', '--data', join(folder, 'deep', 'data')]
    const first = start(args)
    const [, , url = ''] = await first.output(READY)
    const body = '{"n":12345678901234567890.10,"u":"ü"}'
    expect((await fetch(`${url}/settings`, { method: 'POST', body })).status).toBe(200)
    const before = await (await fetch(`${url}/settings`)).text()
    expect(before).toContain(body)
    first.signal('SIGTERM')
    expect((await first.ended).code).toBe(0)
    const [, , again = ''] = await start(args).output(READY)
    expect(await (await fetch(`${again}/settings`)).text()).toBe(before)
  })

  it('takes its configuration from the environment and a file', async () => {
    const env = { OOO_PORT: '0', OOO_MEMORY: 'true', OOO_NAME: 'from env', OOO_KEYS: 'settings' }
    const node = start(['serve'], { env })
    const [, name, , role] = await node.output(READY)
    expect([name, role]).toEqual(['from env', 'leader of settings'])
  })

  it('serves only its keys in static mode', async () => {
    const { url } = await startNode('--static', '--key', 'items/*')
    expect((await fetch(`${url}/items/*`, { method: 'POST', body: '1' })).status).toBe(200)
    expect((await fetch(`${url}/other`, { method: 'POST', body: '1' })).status).toBe(400)
  })

  it('serves over IPv6', async () => {
    const node = start(['serve', '--port=0', '--memory', '--host=::1'])
    const [, , url = ''] = await node.output(READY)
    expect(url).toMatch(/^http:\/\/\[::1\]:\d+$/)
    expect((await fetch(`${url}/*`)).status).toBe(200)
  })

  it('does not start where others reach it and nothing guards its data', async () => {
    for (const more of [[], ['--key', 'a', '--cluster-token', 'hush-hush'], ['--static']]) {
      const args = ['serve', '--port=0', '--host=0.0.0.0', '--data', join(folder, 'none'), ...more]
      const { code, stdout, stderr } = await runCli(args)
      expect([code, stdout]).toEqual([2, ''])
      expect(stderr).toMatch(/^ooo: other machines reach this node at 0\.0\.0\.0.*--open/m)
      expect(existsSync(join(folder, 'none'))).toBe(false)
    }
  })

  it('says what is open and what the cluster token guards, and never prints one', async () => {
    const { node } = await startNode('--host', '0.0.0.0', '--open', '--key', 'a')
    // Its two outputs are read in no order.
    const warning = /warn open: whoever reaches this address can read and write host/
    await waitFor(() => warning.test(node.stderr), { what: 'the warning' })
    await waitFor(() => node.stderr.includes('nodes of other machines are refused'))
    const guarded = start(
      ['serve', '--port=0', '--memory', '--host=0.0.0.0', '--key=a', '--log-level=debug'],
      { env: { OOO_CLUSTER_TOKEN: 'hush-hush', OOO_OPEN: 'true' } },
    )
    await guarded.output(READY)
    guarded.signal('SIGTERM')
    const { stdout, stderr } = await guarded.ended
    expect(stderr).toContain('the cluster token guards joining, backup, restore and conflicts only')
    expect(stderr).not.toContain('nodes of other machines are refused')
    expect(stdout + stderr).not.toContain('hush-hush')
  })

  it('takes its token from a file', async () => {
    const file = join(folder, 'token')
    await writeFile(file, 'hush-hush\n')
    const { url } = await startNode('--key', 'a', '--cluster-token-file', file)
    const ask = async (args: readonly string[], env = {}): Promise<number | null> =>
      (await runCli(['conflicts', 'list', '--url', url, ...args], { env })).code
    expect(await ask([])).toBe(1)
    expect(await ask(['--cluster-token-file', file])).toBe(0)
    expect(await ask([], { OOO_CLUSTER_TOKEN_FILE: file })).toBe(0)
  })

  it('says which port is taken and how to choose another', async () => {
    const { node, url } = await startNode()
    const { port } = new URL(url)
    const end = await runCli(['serve', '--memory', '--port', port])
    expect(end).toMatchObject({ code: 1, stdout: '' })
    expect(end.stderr).toBe(
      `ooo: port ${port} on 127.0.0.1 is taken by another process; choose another with --port\n`,
    )
    node.signal('SIGTERM')
    await node.ended
  })

  it('says that another process uses the data folder', async () => {
    const data = join(folder, 'data')
    await start(['serve', '--port=0', '--data', data]).output(READY)
    const end = await runCli(['serve', '--port=0', '--data', data])
    expect(end.code).toBe(1)
    expect(end.stderr).toBe(
      `ooo: the data folder ${data} is used by another process; stop that, or choose another with --data\n`,
    )
  })

  it('refuses an address that is not this machine', async () => {
    const end = await runCli(['serve', '--open', '--port=0', '--memory', '--host=192.0.2.1'])
    expect(end.code).toBe(1)
    expect(end.stderr).toContain('192.0.2.1 is no address of this machine; choose another')
  })

  it('ends with exit code 2 on wrong usage, naming the flag', async () => {
    const flag = await runCli(['serve', '--prot', '1'])
    expect(flag).toMatchObject({ code: 2, stdout: '' })
    expect(flag.stderr).toBe(
      'ooo: --prot: unknown flag; did you mean --port? (--help lists all flags)\n',
    )
    const variable = await runCli(['serve'], { env: { OOO_PORT: 'high' } })
    expect(variable.code).toBe(2)
    expect(variable.stderr).toContain('OOO_PORT: "high" is not allowed')
  })

  it('outlives its readers', async () => {
    const { node, url } = await startNode()
    node.closeOutput()
    expect((await fetch(`${url}/a`, { method: 'POST', body: '1' })).status).toBe(200)
    node.signal('SIGTERM')
    expect((await node.ended).code).toBe(0)
  })
})

describe('commands on a node', () => {
  it('set, push, get and delete, with exact digits and clear exit codes', async () => {
    const { url } = await startNode()
    const env = { OOO_URL: url }
    const value = '{"n":12345678901234567890,"d":1.10,"e":1e400}'
    expect(await runCli(['set', 'settings', value], { env })).toMatchObject({
      code: 0,
      stdout: 'settings\n',
    })
    const got = await runCli(['get', `${url}/settings`])
    expect(got.stdout).toBe(`${await (await fetch(`${url}/settings`)).text()}\n`)
    expect(got.stdout).toContain(value)
    const first = await runCli(['push', '--url', url, 'items/*', '-'], { stdin: ' [1, 2]\n' })
    const second = await runCli(['push', url, 'items/*', '"two"'])
    expect(first.stdout).toMatch(/^items\/[0-9a-f]+\n$/)
    const list = await runCli(['get', url, 'items/*'])
    const lines = list.stdout.trimEnd().split('\n')
    expect(lines.map((line) => `${JSON.parse(line).path}\n`)).toEqual([second.stdout, first.stdout])
    expect(lines[1]).toContain('"data":[1,2]}')
    expect(await runCli(['delete', 'items/*'], { env })).toMatchObject({ code: 0, stdout: '' })
    expect(await runCli(['get', 'items/*'], { env })).toMatchObject({ code: 0, stdout: '' })
  })

  it('ends with exit code 3 where there is no such key', async () => {
    const { url } = await startNode()
    expect(await runCli(['get', url, 'none'])).toMatchObject({ code: 3, stdout: '' })
    const deleted = await runCli(['delete', url, 'none'])
    expect(deleted).toMatchObject({ code: 3, stderr: 'ooo: storage: not found\n' })
  })

  it('ends with exit code 1 when the node is out of reach', async () => {
    for (const command of ['get', 'status']) {
      const args = command === 'get' ? ['get', 'a'] : ['status']
      const end = await runCli([...args, '--url', 'http://127.0.0.1:1'])
      expect(end).toMatchObject({ code: 1, stdout: '' })
      expect(end.stderr).toMatch(/^ooo: .*(ECONNREFUSED|bad port).*\n$/)
    }
  })

  it('tells the status of a member, and that a single node is none', async () => {
    const leader = await startNode('--key', 'settings', '--name', 'first')
    const status = await runCli(['status', leader.url])
    expect(status.code).toBe(0)
    expect(status.stdout).toMatch(/^name +role .*\nfirst +leader /)
    const single = await startNode()
    const end = await runCli(['status', single.url])
    expect(end.code).toBe(1)
    expect(end.stderr).toContain('is no member of a cluster')
  })

  it('survives a server that answers something else', async () => {
    const server: Server = createServer((_request, response) => response.end('<html>'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const get = await runCli(['get', url, 'a'])
      expect(get.code).toBe(1)
      expect(get.stderr).toContain('not JSON')
    } finally {
      server.close()
    }
  })
})

describe('ooo watch', () => {
  it('prints the list, then every change, until it is stopped', async () => {
    const { url } = await startNode()
    await runCli(['set', url, 'items/a', '{"n":1.10}'])
    const watcher = start(['watch', url, 'items/*'])
    await watcher.output(/"path":"items\/a","data":\{"n":1\.10\}\}\n/)
    await runCli(['set', url, 'items/b', '2'])
    await watcher.output(/"path":"items\/b","data":2\}\n/)
    await runCli(['set', url, 'items/a', '{"n":3}'])
    await watcher.output(/"path":"items\/a","data":\{"n":3\}\}\n/)
    await runCli(['delete', url, 'items/b'])
    await watcher.output(/\{"deleted":"items\/b"\}\n/)
    watcher.signal('SIGINT')
    const end = await watcher.ended
    expect(end.code).toBe(0)
    expect(end.stdout.trimEnd().split('\n')).toHaveLength(4)
  })

  it('ends when nobody reads it any more', async () => {
    const { url } = await startNode()
    const watcher = start(['watch', url, 'items/*'])
    await waitFor(() => watcher.stderr.includes('watching'), { deadlineMs: 60_000 })
    watcher.closeOutput()
    await runCli(['set', url, 'items/a', '1'])
    expect((await watcher.ended).code).toBe(0)
  })

  it('comes back by itself when its node does', async () => {
    const data = join(folder, 'data')
    const port = `--port=${await freePort()}`
    const first = start(['serve', port, '--data', data])
    const [, , url = ''] = await first.output(READY)
    const watcher = start(['watch', url, 'items/*'])
    await waitFor(() => watcher.stderr.includes('watching'), { deadlineMs: 60_000 })
    first.signal('SIGKILL')
    await first.ended
    await waitFor(() => watcher.stderr.includes('out of reach'), { deadlineMs: 60_000 })
    await start(['serve', port, '--data', data]).output(READY)
    await runCli(['set', url, 'items/a', '1'])
    await watcher.output(/"path":"items\/a"/)
  })
})
