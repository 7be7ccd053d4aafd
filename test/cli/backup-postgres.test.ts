import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { CliProcess, runCli } from '../support/cli-process.ts'
import { usePostgres } from '../support/services.ts'

const postgres = usePostgres()
const started: CliProcess[] = []
let folder = ''

beforeAll(prepareBuild, 300_000)
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ooo-backup-'))
})
afterEach(async () => {
  await Promise.all(started.splice(0).map((command) => command.dispose()))
  await rm(folder, { recursive: true, force: true })
})

async function startNode(database: string, namespace: string) {
  const args = ['--postgres', database, '--postgres-namespace', namespace]
  const node = new CliProcess(['serve', '--port', '0', ...args])
  started.push(node)
  const [, url = ''] = await node.output(/serving (http:\/\/\S+) /)
  return { node, url }
}

it('a node in a database is backed up, and restored under another name', async () => {
  const database = await postgres().createDatabase()
  const file = join(folder, 'all.ooo')
  const ooo = (command: string, namespace: string) =>
    runCli([command, file, '--postgres', database, '--postgres-namespace', namespace])
  const { node, url } = await startNode(database, 'one')
  for (let i = 0; i < 30; i++) {
    const body = `{"n":${i},"big":12345678901234567890}`
    expect((await fetch(`${url}/items/${i}`, { method: 'POST', body })).status).toBe(200)
  }
  expect((await fetch(`${url}/items/3`, { method: 'DELETE' })).status).toBe(204)
  const answer = await (await fetch(`${url}/items/*`)).text()

  const used = await ooo('backup', 'one')
  expect(used.code).toBe(1)
  expect(used.stderr).toMatch(/used by another node/)
  node.signal('SIGTERM')
  expect((await node.ended).code).toBe(0)
  const made = await ooo('backup', 'one')
  expect(made.code, made.stderr).toBe(0)
  expect(made.stderr).toContain('29 entries and 1 tombstone')
  expect(made.stderr).not.toContain(database)

  const empty = await runCli([
    'backup',
    join(folder, 'x'),
    '--postgres',
    database,
    '--postgres-namespace',
    'nobody',
  ])
  expect(empty.stderr).toContain('namespace nobody: holds no data of a node')
  expect((await ooo('restore', 'one')).stderr).toContain('is not empty')
  const restored = await ooo('restore', 'two')
  expect(restored.code, restored.stderr).toBe(0)
  const second = await startNode(database, 'two')
  expect(await (await fetch(`${second.url}/items/*`)).text()).toBe(answer)
})
