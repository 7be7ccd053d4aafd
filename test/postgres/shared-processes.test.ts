import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { afterTest } from '../server/serve.ts'
import { prepareBuild } from '../support/built.ts'
import { CliProcess } from '../support/cli-process.ts'
import { usePostgres } from '../support/services.ts'
import { waitFor } from '../support/wait.ts'
import { openTables } from './table-fixtures.ts'

const ROUNDS = 6
const postgres = usePostgres({ control: true })
beforeAll(prepareBuild, 180_000)

interface NodeProcess {
  readonly command: CliProcess
  readonly url: string
}

async function startNode(databaseUrl: string, directory: string): Promise<NodeProcess> {
  const command = new CliProcess(
    ['serve', '--port=0', `--data=${directory}`, '--postgres-tables=orders/*=orders'],
    { env: { OOO_POSTGRES_TABLES_URL: databaseUrl } },
  )
  afterTest(() => command.dispose())
  const [, url = ''] = await command.output(/ serving (http:\S+) /)
  return { command, url }
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'ooo-shared-'))
  afterTest(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Writes keys until `stop`; gives those that were answered. */
function write(url: string, prefix: string): { stop(): Promise<string[]> } {
  const answered: string[] = []
  let writing = true
  const loop = (async () => {
    for (let i = 0; writing; i++) {
      const key = `orders/${prefix}-${i}`
      const answer = await fetch(`${url}/${key}`, { method: 'POST', body: `${i}` }).catch(() => {})
      if (answer?.status === 200) answered.push(key)
      else if (answer === undefined) return
    }
  })()
  return {
    stop: async () => {
      writing = false
      await loop
      return answered
    },
  }
}

const keysOf = async (url: string): Promise<string[]> => {
  const entries = (await (await fetch(`${url}/orders/*`)).json()) as { path: string }[]
  return entries.map(({ path }) => path).sort()
}

describe('node processes that share a table', () => {
  it('lose no answered write while they and the database are killed in turn', async () => {
    const databaseUrl = await postgres().createDatabase()
    const folders = [folder(), folder()]
    const nodes = await Promise.all(folders.map((path) => startNode(databaseUrl, path)))
    const answered: string[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const writers = nodes.map(({ url }, n) => write(url, `${round}-${n}`))
      const tables = await openTables(databaseUrl)
      await waitFor(async () => (await tables.keys('orders')).length > answered.length + 10, {
        deadlineMs: 60_000,
      })
      const victim = round % 3
      const node = nodes[victim]
      if (node === undefined) await postgres().control.kill()
      else node.command.signal('SIGKILL')
      await node?.command.ended
      for (const writer of writers) answered.push(...(await writer.stop()))
      if (node === undefined) await postgres().control.start()
      else nodes[victim] = await startNode(databaseUrl, folders[victim] ?? '')
      await tables.close()
    }
    const tables = await openTables(databaseUrl)
    const states = async (url: string) =>
      (await (await fetch(`${url}/-/tables`)).json()) as { state: string; outbox: number }[]
    for (const { url } of nodes) {
      await waitFor(
        async () => (await states(url)).every((s) => s.state === 'live' && s.outbox === 0),
        { deadlineMs: 60_000, what: 'the node to be live with nothing owed' },
      )
    }
    const held = (await tables.keys('orders')).sort()
    const missing = answered.filter((key) => !held.includes(key))
    expect(missing).toEqual([])
    for (const { url } of nodes) {
      await waitFor(async () => (await keysOf(url)).length === held.length, { deadlineMs: 60_000 })
      expect(await keysOf(url)).toEqual(held)
    }
    for (const { command } of nodes) {
      command.signal('SIGTERM')
      expect((await command.ended).code).toBe(0)
    }
  }, 600_000)
})
