/** What `ooo serve` makes of --cache and --durability, and how a damaged folder shows. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { prepareBuild } from '../support/built.ts'
import { CliProcess, runCli } from '../support/cli-process.ts'
import { request } from '../support/http.ts'
import { waitFor } from '../support/wait.ts'

let folder = ''
const started: CliProcess[] = []

beforeAll(prepareBuild, 180_000)
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ooo-serve-'))
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((command) => command.dispose()))
  await rm(folder, { recursive: true, force: true })
})

/** A node on the folder. */
async function startNode(...args: string[]): Promise<{ node: CliProcess; url: string }> {
  const node = new CliProcess(['serve', '--port=0', '--data', folder, '--key=items/*', ...args])
  started.push(node)
  const [, url = ''] = await node.output(/^ooo: .* serving (http:\/\/\S+)/m)
  return { node, url }
}

async function stopNode(node: CliProcess): Promise<void> {
  node.signal('SIGTERM')
  expect((await node.ended).code).toBe(0)
}

const storageOf = async (url: string): Promise<Record<string, unknown>> =>
  JSON.parse((await request('GET', `${url}/?api=storage`)).body)

describe('ooo serve on a folder', () => {
  it('keeps at most --cache of it in memory, and finds the same data with either setting', async () => {
    const bounded = await startNode('--cache', '512KiB')
    expect(await storageOf(bounded.url)).toMatchObject({ cacheBytes: 512 * 1024, damaged: 0 })
    for (const n of [1, 2, 3]) await request('POST', `${bounded.url}/items/${n}`, { body: `${n}` })
    const list = (await request('GET', `${bounded.url}/items/*?limit=2`)).body
    await stopNode(bounded.node)
    const whole = await startNode()
    expect(await storageOf(whole.url)).toMatchObject({ cacheBytes: null })
    expect((await request('GET', `${whole.url}/items/*?limit=2`)).body).toBe(list)
    await stopNode(whole.node)
    const again = await startNode('--cache', '0')
    expect((await request('GET', `${again.url}/items/*?limit=2`)).body).toBe(list)
  })

  it('answers before the disk with --durability memory, and stores it nevertheless', async () => {
    const { node, url } = await startNode('--durability', 'memory')
    for (let n = 0; n < 50; n++) await request('POST', `${url}/items/${n}`, { body: `${n}` })
    await stopNode(node)
    const again = await startNode()
    expect(JSON.parse((await request('GET', `${again.url}/items/*`)).body)).toHaveLength(50)
  })

  it.each(['all', '1MiB'])('tells what is damaged in log and status, cache %s', async (cache) => {
    const before = await startNode()
    await request('POST', `${before.url}/items/a`, { body: '"whole"' })
    await request('POST', `${before.url}/items/b`, { body: '"whole"' })
    await stopNode(before.node)
    const storage = new LevelStorage({ directory: folder })
    await storage.open()
    const row = (await storage.get('e/items/a')) ?? ''
    await storage.batch([{ type: 'put', key: 'e/items/a', value: row.replace('whole', 'whale') }])
    await storage.close()

    const { node, url } = await startNode('--cache', cache)
    await waitFor(async () => (await storageOf(url)).damaged === 1)
    await waitFor(() => /the storage is damaged.*items\/a/.test(node.stderr))
    const status = await runCli(['status', url])
    expect(status.stdout).toContain('attention: 1 record can not be read: see /?api=storage\n')
    expect((await request('GET', `${url}/items/a`)).status).toBe(500)
    expect((await request('GET', `${url}/items/b`)).body).toContain('"whole"')
    await request('POST', `${url}/items/a`, { body: '"new"' })
    expect((await request('GET', `${url}/items/a`)).body).toContain('"new"')
    expect((await storageOf(url)).damaged).toBe(0)
  })
})
