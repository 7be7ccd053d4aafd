/** deploy/compose.yaml, brought up as its readers do, on other ports and with the image of the tests. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { freePort } from '../support/free-port.ts'
import { request } from '../support/http.ts'
import { readProjectFile } from '../support/manifests.ts'
import { runTool, useNodeImage } from '../support/node-image.ts'
import { waitUntilEqual } from '../support/process-cluster.ts'
import { waitFor } from '../support/wait.ts'

const DEADLINE_MS = 60_000
const NO_COMPOSE = 'compose is missing: install the compose plugin of Docker, or docker-compose'
const PORTS = [
  'LEADER_PORT',
  'FIRST_FOLLOWER_PORT',
  'SECOND_FOLLOWER_PORT',
  'POSTGRES_FOLLOWER_PORT',
]
const PROFILES = ['--profile', 'redis', '--profile', 'postgres']

const MAIN = 'compose.yaml'
const ELECTION = 'compose.election.yaml'

const image = useNodeImage()
const folder = mkdtempSync(join(tmpdir(), 'ooo-compose-'))
const project = `oootest${randomBytes(4).toString('hex')}`
// A token that would have to be escaped in a URL.
const env: Record<string, string> = {
  OOO_CLUSTER_TOKEN: 'a/b:c@d %41',
  OOO_REDIS_URL: 'redis://redis',
}
const files = ['--file', join(folder, MAIN)]
let compose: readonly string[] | undefined

image.prepare(async (tag) => {
  compose = await findCompose()
  if (compose === undefined && process.env.CI === 'true') throw new Error(NO_COMPOSE)
  if (compose === undefined) return
  for (const name of PORTS) env[name] = String(await freePort())
  writeFileSync(join(folder, MAIN), fileFor(tag))
  await up()
})
afterAll(async () => {
  if (compose !== undefined) await run('down', '--volumes', '--timeout', '0')
  rmSync(folder, { recursive: true, force: true })
})
beforeEach((context) => {
  if (compose === undefined) context.skip(NO_COMPOSE)
})

describe('compose.yaml', { timeout: 180_000 }, () => {
  it('brings up a leader and its followers, on a bus and one in PostgreSQL, that hold the same', async () => {
    for (const node of nodes()) {
      await waitFor(async () => (await node.get('-/readyz')).status === 200, {
        deadlineMs: DEADLINE_MS,
        what: `${node.name} to be ready`,
      })
      expect(
        (await node.post(`items/${node.name}`, '{"big":12345678901234567890.10}')).status,
      ).toBe(200)
    }
    const list = async (): Promise<string> =>
      (await waitUntilEqual(nodes(), ['items/*'], DEADLINE_MS))['items/*'] ?? ''
    await waitFor(async () => (await list()).split('12345678901234567890.10').length === 5, {
      deadlineMs: DEADLINE_MS,
      what: 'four entries on all nodes',
    })
    const onBus = async (): Promise<boolean> => {
      const states = await Promise.all(
        nodes().map(async (node) => (await node.get('-/cluster')).body),
      )
      return states.every((body) => body.includes('"state":"up"'))
    }
    await waitFor(onBus, { deadlineMs: DEADLINE_MS, what: 'all nodes to use the bus' })
  })

  it('keeps the data when it is taken down and brought up again, then with a leader by election', async () => {
    const [leader] = nodes()
    expect((await leader?.post('settings', '{"kept":true}'))?.status).toBe(200)
    await run('down')
    writeFileSync(join(folder, ELECTION), JSON.stringify(parsed(ELECTION)))
    files.push('--file', join(folder, ELECTION))
    await up()
    for (const node of nodes()) {
      await waitFor(async () => (await node.get('settings')).body.includes('{"kept":true}'), {
        deadlineMs: DEADLINE_MS,
        what: `${node.name} to have what was kept`,
      })
    }
    const leads = async (): Promise<unknown> => {
      const all = await Promise.all(
        nodes().map(async (node) => (await node.get('-/leader')).status),
      )
      return all.filter((status) => status === 200).length === 1
    }
    await waitFor(leads, { deadlineMs: DEADLINE_MS, what: 'one of the nodes to lead' })
  })
})

interface ComposeNode {
  readonly name: string
  get(key: string): ReturnType<typeof request>
  post(key: string, body: string): ReturnType<typeof request>
}

function nodes(): ComposeNode[] {
  return PORTS.map((name) => {
    const url = `http://127.0.0.1:${env[name]}`
    return {
      name,
      get: (key) => request('GET', `${url}/${key}`),
      post: (key, body) => request('POST', `${url}/${key}`, { body }),
    }
  })
}

/** The project's file with another image. `name` gives way to the one of the test, and is new in compose 2. */
function fileFor(tag: string): string {
  const { name: _, ...file } = parsed(MAIN)
  for (const service of Object.values(file.services)) {
    if (service.image?.startsWith('ooo-cluster:')) service.image = tag
  }
  // Which is YAML too, for every reader of it.
  return JSON.stringify(file)
}

interface ComposeFile {
  readonly name?: string
  readonly services: Record<string, { image?: string }>
}

function parsed(file: string): ComposeFile {
  return parse(readProjectFile(`deploy/${file}`), { merge: true }) as ComposeFile
}

async function up(): Promise<void> {
  await run('up', '--detach')
}

async function run(...args: string[]): Promise<void> {
  const [program = '', ...first] = compose ?? []
  await runTool(program, [...first, '--project-name', project, ...files, ...PROFILES, ...args], env)
}

async function findCompose(): Promise<readonly string[] | undefined> {
  for (const candidate of [['docker', 'compose'], ['docker-compose']]) {
    const [program = '', ...args] = candidate
    try {
      await runTool(program, [...args, 'version'])
      return candidate
    } catch {
      // The next one, perhaps.
    }
  }
  return undefined
}
