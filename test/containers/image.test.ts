/** The image of a node: what it holds, and how a container of it starts, is watched and ends. */
import type { ImageInspectInfo } from 'dockerode'
import { GenericContainer, getContainerRuntimeClient } from 'testcontainers'
import { afterAll, describe, expect, it } from 'vitest'
import { CertificateFolder, NO_OPENSSL } from '../support/certificates.ts'
import { ContainerCluster } from '../support/container-cluster.ts'
import type { ContainerNode } from '../support/container-node.ts'
import { readProjectFile } from '../support/manifests.ts'
import { useNodeImage } from '../support/node-image.ts'
import { waitFor } from '../support/wait.ts'

const MAX_BYTES = 250_000_000
const image = useNodeImage()

/** Prints the state, the parent and the name of each process, and what process 1 may do. */
const PROCESSES = `
  const fs = require('node:fs')
  for (const pid of fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    const text = fs.readFileSync('/proc/' + pid + '/status', 'utf8')
    const field = (name) => new RegExp('^' + name + ':\\\\s*(\\\\S+)', 'm').exec(text)?.[1]
    const row = { pid, state: field('State'), parent: field('PPid'), user: field('Uid') }
    console.log(JSON.stringify({ ...row, may: field('CapEff'), gains: field('NoNewPrivs') === '0' }))
  }`

interface ProcessRow {
  readonly pid: string
  readonly state: string
  readonly parent: string
  readonly user: string
  readonly may: string
  readonly gains: boolean
}

describe('the image', () => {
  let found: ImageInspectInfo
  image.prepare(async (tag) => {
    const { container } = await getContainerRuntimeClient()
    found = await container.dockerode.getImage(tag).inspect()
  })

  it('is smaller than 250 MB, with its base', () => {
    expect(found.Size).toBeLessThan(MAX_BYTES)
  })

  it('says what it is, in the labels that registries read', () => {
    const { version, license } = JSON.parse(readProjectFile('package.json')) as {
      version: string
      license: string
    }
    const label = (name: string): unknown =>
      found.Config.Labels?.[`org.opencontainers.image.${name}`]
    expect(label('title')).toBe('ooo-cluster')
    expect(label('version')).toBe(version)
    expect(label('licenses')).toBe(license)
    expect(label('revision')).toMatch(/^([0-9a-f]{40}(-changed)?|unknown)$/)
    expect(label('created')).toMatch(/^(\d{4}-\d\d-\d\dT.*Z|unknown)$/)
    expect(label('base.name')).toMatch(/^node:\d+-/)
  })
})

describe('a container', () => {
  let cluster: ContainerCluster | undefined
  let node: ContainerNode
  image.prepare(async (tag) => {
    cluster = await ContainerCluster.create(tag, {
      OOO_KEYS: 'items/*',
      OOO_CLUSTER_TOKEN: 'secret',
    })
    node = await cluster.start({ name: 'node' })
  })
  afterAll(async () => await cluster?.end())

  it('holds the node and nothing to build it with', async () => {
    const { output } = await node.exec([
      'sh',
      '-c',
      'ls node_modules; command -v npm yarn corepack',
    ])
    const modules = output.split('\n')
    expect(modules).toContain('ws')
    expect(modules.filter((name) => /typescript|vitest|vite|biome|^\//.test(name))).toEqual([])
  })

  it('serves as an ordinary user without capabilities, where it can write nothing but its volume', async () => {
    const paths = ['/x', '/app/x', '/tmp/x', '/data/x']
    const tries = paths.map((path) => `touch ${path} 2>/dev/null && echo ${path}`).join('; ')
    expect((await node.exec(['sh', '-c', tries])).output.trim()).toBe('/data/x')
    const first = (await processes(node)).find(({ pid }) => pid === '1')
    expect(first).toMatchObject({ user: '1000', may: '0000000000000000', gains: false })
  })

  it('is seen healthy by the engine, and looking leaves no process behind', async () => {
    const health = async (): Promise<string | undefined> =>
      (await node.inspect()).State.Health?.Status
    await waitFor(async () => (await health()) === 'healthy', {
      deadlineMs: 60_000,
      intervalMs: 200,
    })
    const rows = await processes(node)
    expect(rows.filter(({ state }) => state === 'Z')).toEqual([])
    expect(rows.filter(({ parent }) => parent === '1')).toEqual([])
  })

  it('answers to the command in it', async () => {
    expect(await node.exec(['ooo', 'set', 'items/told', '{"by":"exec"}'])).toMatchObject({
      exitCode: 0,
    })
    expect((await node.get('items/told')).body).toContain('{"by":"exec"}')
    expect((await node.exec(['ooo', 'status'])).output).toContain('leader')
  })

  it('ends with 0 on SIGTERM, having closed its data, and comes back with them', async () => {
    await node.post('items/kept', { n: 1 })
    expect(await node.stop()).toBe(0)
    expect(await node.output()).toContain('stopping because=SIGTERM')
    await node.restart()
    expect((await node.get('items/kept')).body).toContain('{"n":1}')
  })
})

describe('the image on its own', () => {
  it('does not serve before it was said that whoever reaches it may read and write', async () => {
    const container = await new GenericContainer(image.tag())
      .withEntrypoint(['sleep', '600'])
      .start()
    try {
      const { exitCode, output } = await container.exec(['node', 'dist/cli/main.js', 'serve'])
      expect(exitCode).toBe(2)
      expect(output).toContain('other machines reach this node at 0.0.0.0')
    } finally {
      await container.stop({ timeout: 0 })
    }
  })
})

describe('the health check', () => {
  it.skipIf(NO_OPENSSL !== undefined)(
    'tells a node that serves TLS from one that does not serve',
    async () => {
      const folder = new CertificateFolder()
      const pair = folder.issue('node')
      const files = { '/tmp/cert.pem': pair.certFile, '/tmp/key.pem': pair.keyFile }
      const container = await new GenericContainer(image.tag())
        .withEntrypoint(['sleep', '600'])
        .withEnvironment({
          OOO_OPEN: 'true',
          OOO_TLS_CERT: '/tmp/cert.pem',
          OOO_TLS_KEY: '/tmp/key.pem',
        })
        .withCopyFilesToContainer(
          Object.entries(files).map(([target, source]) => ({ source, target, mode: 0o444 })),
        )
        .start()
      try {
        const refused = await container.exec(['node', 'healthcheck.mjs'])
        expect(refused.exitCode).toBe(1)
        expect(refused.output).toContain('ECONNREFUSED')
        await container.exec(['sh', '-c', 'node dist/cli/main.js serve >/dev/null 2>&1 &'])
        const check = async (): Promise<string | false> => {
          const { exitCode, output } = await container.exec(['node', 'healthcheck.mjs'])
          return exitCode === 0 && output
        }
        expect(await waitFor(check, { intervalMs: 200 })).toContain('"ready"')
      } finally {
        await container.stop({ timeout: 0 })
        folder.remove()
      }
    },
  )
})

async function processes(node: ContainerNode): Promise<ProcessRow[]> {
  const { output } = await node.exec(['node', '-e', PROCESSES])
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ProcessRow)
}
