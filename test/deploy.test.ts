/** What the image and the compose file say is true of the program they run. */

import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import {
  configFrom,
  SERVE_SETTINGS,
  type ServeConfig,
  serveVariables,
} from '../cli/settings/config.ts'
import {
  type ComposeService,
  type Env,
  interpolate,
  readProjectFile as read,
} from './support/manifests.ts'

const READY_PATH = '/-/readyz'
const FILES = [
  'deploy/Dockerfile',
  'deploy/compose.yaml',
  'deploy/compose.election.yaml',
  'deploy/healthcheck.mjs',
  'deploy/README.md',
]

/** The node's configuration under these variables; throws what the command would refuse. */
function configOf(env: Env): ServeConfig {
  return configFrom(SERVE_SETTINGS, [], env)
}

/** The variables that the image sets. */
function imageEnv(): Env {
  const block = /^ENV ((?:.*\\\n)*.*)$/m.exec(read('deploy/Dockerfile'))?.[1] ?? ''
  const pairs = block.replaceAll('\\\n', ' ').trim().split(/\s+/)
  return Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]))
}

describe('deployment files', () => {
  for (const file of FILES) {
    it(`${file} names only variables and flags that the command knows`, () => {
      const text = read(file)
      const variables = new Set(text.match(/\bOOO_[A-Z_]+\b/g) ?? [])
      expect([...variables].filter((name) => !serveVariables().includes(name))).toEqual([])
      const flags = ['--help', ...Object.values(SERVE_SETTINGS).map(({ flag }) => `--${flag}`)]
      const used = text
        .split('\n')
        .filter((line) => /main\.js serve|ooo serve/.test(line))
        .flatMap((line) => line.match(/\s--[a-z-]+/g) ?? [])
      expect(used.map((flag) => flag.trim()).filter((flag) => !flags.includes(flag))).toEqual([])
    })
  }
})

describe('the image', () => {
  const dockerfile = read('deploy/Dockerfile')
  const manifest = JSON.parse(read('package.json')) as {
    bin: Record<string, string>
    engines: { node: string }
    scripts: Record<string, string>
  }

  it('can be built on another base, whose default is new enough for the package', () => {
    const major = Number(/^ARG BASE=node:(\d+)-/m.exec(dockerfile)?.[1])
    expect(major).toBeGreaterThanOrEqual(Number(/(\d+)/.exec(manifest.engines.node)?.[1]))
    const stages = dockerfile.match(/^FROM .*$/gm) ?? []
    expect(stages).toEqual(['FROM ${' + 'BASE} AS system', 'FROM scratch'])
    expect(read('tools/base-images.sh')).toContain(/^ARG BASE=(.*)$/m.exec(dockerfile)?.[1] ?? '?')
  })

  it('runs the command of the package, and not as root', () => {
    const entry = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? '[]') as string[]
    expect(entry).toEqual(['node', manifest.bin.ooo?.replace('./', ''), 'serve'])
    expect(dockerfile).toMatch(/^USER 1000:1000$/m)
    expect(manifest.scripts.image).toContain('tools/image.mjs')
  })

  it('is configured so that the node starts, on its volume and its port', () => {
    const config = configOf(imageEnv())
    expect(config.host).toBe('0.0.0.0')
    // Who may reach it is for who runs it to say.
    expect(config.open).toBe(false)
    expect(dockerfile).toMatch(new RegExp(`^VOLUME ${config.data}$`, 'm'))
    expect(dockerfile).toMatch(new RegExp(`^EXPOSE ${config.port}$`, 'm'))
  })

  it('is watched by a check that asks whether the node is ready', () => {
    const check = JSON.parse(/^ {2}CMD (.*)$/m.exec(dockerfile)?.[1] ?? '[]') as string[]
    expect(check).toEqual(['node', 'healthcheck.mjs'])
    expect(read('deploy/healthcheck.mjs')).toContain(`'${READY_PATH}'`)
  })

  it('is built from what was prepared for it, and from nothing else of a checkout', () => {
    const kept = read('deploy/Dockerfile.dockerignore').match(/(?<=^!).*$/gm) ?? []
    expect(kept).toEqual(['app'])
    expect(dockerfile.match(/^(COPY|ADD) (?!--from).*$/gm)).toEqual(['COPY app /app'])
  })
})

describe('compose.yaml', () => {
  const text = read('deploy/compose.yaml')
  const file = parse(text, { merge: true }) as {
    services: Record<string, ComposeService>
    volumes: Record<string, null>
  }
  const all = Object.entries(file.services)
  const services = all.filter(([, { image }]) => image.startsWith('ooo-cluster:'))
  const env = (service: ComposeService): Env => ({
    ...imageEnv(),
    ...Object.fromEntries(
      Object.entries(service.environment).map(([name, value]) => [name, interpolate(value)]),
    ),
  })

  it('has one leader, and followers that follow it where it listens', () => {
    const leaders = services.filter(
      ([, service]) => configOf(env(service)).clusterUrl === undefined,
    )
    expect(leaders.map(([name]) => name)).toEqual(['leader'])
    const port = configOf(env(file.services.leader as ComposeService)).port
    for (const [name, service] of services.filter(([name]) => name !== 'leader')) {
      const config = configOf(env(service))
      expect([name, config.clusterUrl]).toEqual([name, `http://leader:${port}`])
      expect(config.keys).toEqual(['settings', 'items/*'])
      expect(config.clusterToken).toBe('given')
      expect(config.open).toBe(true)
    }
  })

  it('gives each node its name, its address among the others and a disk of its own', () => {
    const volumes: string[] = []
    for (const [name, service] of services) {
      const config = configOf(env(service))
      expect(config.name).toBe(name)
      expect(config.advertise).toEqual({ host: name, port: config.port })
      if (config.postgres !== undefined) continue
      const [volume = '', folder] = service.volumes?.[0]?.split(':') ?? []
      expect(folder).toBe(config.data)
      expect(Object.keys(file.volumes)).toContain(volume)
      volumes.push(volume)
    }
    expect(new Set(volumes).size).toBe(volumes.length)
    const others = all.filter(([name]) => !services.some(([node]) => node === name))
    for (const [, { volumes: own }] of others)
      volumes.push(...(own ?? []).map((use) => use.split(':')[0] ?? ''))
    expect(Object.keys(file.volumes).sort()).toEqual(volumes.sort())
  })

  it('holds every node to a read-only file system, no capabilities, and none to be gained', () => {
    for (const [name, service] of services) {
      expect([name, service]).toMatchObject([
        name,
        { read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] },
      ])
    }
  })

  it('runs the image that `npm run image` builds of this version', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string }
    const images = services.map(([, { image }]) => image)
    expect(images).toEqual(services.map(() => `ooo-cluster:${version}`))
  })

  it('runs servers that the base images have stand-ins for', () => {
    const others = all.filter(([, { image }]) => !image.startsWith('ooo-cluster:'))
    for (const [, { image }] of others) expect(read('tools/base-images.sh')).toContain(`=${image}`)
  })

  it('lets all nodes elect their leader when the second file is given too', () => {
    const election = parse(read('deploy/compose.election.yaml'), { merge: true }) as {
      services: Record<string, Pick<ComposeService, 'environment'>>
    }
    expect(Object.keys(election.services)).toEqual(services.map(([name]) => name))
    for (const [name, service] of services) {
      const config = configOf({ ...env(service), ...election.services[name]?.environment })
      expect(config).toMatchObject({
        leader: 'redis',
        clusterUrl: undefined,
        redis: 'redis://redis',
      })
    }
  })

  it('starts a leader and two followers when no profile is asked for', () => {
    const plain = all.filter(([, service]) => service.profiles === undefined)
    expect(plain.map(([name]) => name)).toEqual(['leader', 'follower-1', 'follower-2'])
  })

  it('publishes each node on a port of its own, on this machine only', () => {
    const published = services.map(([, service]) => interpolate(service.ports[0] ?? '').split(':'))
    expect(published.map(([host]) => host)).toEqual(services.map(() => '127.0.0.1'))
    expect(new Set(published.map(([, port]) => port)).size).toBe(services.length)
    expect(published.map(([, , port]) => Number(port))).toEqual(
      services.map(([, service]) => configOf(env(service)).port),
    )
  })

  it('refuses to start without a token', () => {
    expect(text).toMatch(/OOO_CLUSTER_TOKEN: \$\{OOO_CLUSTER_TOKEN:\?/)
  })
})
