/** The memory of an idle node at the edge, started as the unit starts it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { OOO_COMMAND } from '../support/built.ts'
import { CliProcess } from '../support/cli-process.ts'
import { request } from '../support/http.ts'
import { readProjectFile } from '../support/manifests.ts'
import { waitFor } from '../support/wait.ts'

const KEYS = 10_000
const BATCH = 1000
const MIB = 1024 * 1024
/** With Node 20, whose own program is 45 MB of it; that of other versions differs. */
const MAX_BYTES = 80 * MIB
const MAX_OWN_BYTES = 40 * MIB

const unit = readProjectFile('deploy/systemd/ooo.service')
const heapFlags = /^ExecStart=@NODE@ (.*) @APP@/m.exec(unit)?.[1]?.split(' ') ?? []
const env = { MALLOC_ARENA_MAX: /MALLOC_ARENA_MAX=(\d)/.exec(unit)?.[1] ?? '' }

/** Resident memory of a process: all of it, and what is not read from a file. */
function memoryOf(pid: number): { readonly all: number; readonly own: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytes = (name: string): number =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN)
  return { all: bytes('VmRSS'), own: bytes('RssAnon') }
}

/** Without more it leads: then it takes batches itself. */
async function start(data: string, ...more: string[]): Promise<{ node: CliProcess; url: string }> {
  const args = ['serve', '--port', '0', '--data', data, '--key', 'items/*', '--durability', 'disk']
  args.push('--cache', '16MiB', '--log-level', 'error', ...more)
  const command = [process.execPath, ...heapFlags, OOO_COMMAND] as const
  const node = new CliProcess(args, { command, env })
  const [, url = ''] = await node.output(/serving (http:\S+) /)
  return { node, url }
}

it.skipIf(process.platform !== 'linux')(
  'a node with 10,000 keys and no leader in reach takes less than 80 MiB',
  async () => {
    const data = mkdtempSync(join(tmpdir(), 'ooo-footprint-'))
    const nodes: CliProcess[] = []
    try {
      const first = await start(data)
      nodes.push(first.node)
      for (let i = 0; i < KEYS; i += BATCH) {
        const operations = Array.from({ length: BATCH }, (_, j) => ({
          op: 'set',
          path: `items/k${i + j}`,
          data: { n: i + j, name: `item number ${i + j}`, tags: ['a', 'b'] },
        }))
        const body = JSON.stringify({ operations })
        expect((await request('POST', `${first.url}/-/batch`, { body })).status).toBe(200)
      }
      first.node.signal('SIGTERM')
      expect((await first.node.ended).code).toBe(0)
      const { node, url } = await start(data, '--cluster-url', 'http://127.0.0.1:1')
      nodes.push(node)
      expect(JSON.parse((await request('GET', `${url}/items/*?limit=1`)).body)).toHaveLength(1)
      const isNode20 = process.versions.node.startsWith('20.')
      await waitFor(
        () => {
          const { all, own } = memoryOf(node.pid)
          return own < MAX_OWN_BYTES && (!isNode20 || all < MAX_BYTES)
        },
        { deadlineMs: 60_000, intervalMs: 500, what: `little memory of process ${node.pid}` },
      )
    } finally {
      for (const node of nodes) await node.dispose()
      rmSync(data, { recursive: true, force: true })
    }
  },
  180_000,
)
