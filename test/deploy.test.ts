/** What the image, the compose file and the manifests say is true of the program they run. */

import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { configFrom, SERVE_SETTINGS, type ServeConfig, serveVariables } from '../cli/config.ts'
import {
  afterScript,
  type ComposeService,
  type DisruptionBudget,
  type Env,
  interpolate,
  readProjectFile as read,
  readManifests,
  type Service,
  type StatefulSet,
} from './support/manifests.ts'

const ROOT = resolve(import.meta.dirname, '..')
const HEALTH_PATH = '/-/healthz'
const FILES = [
  'deploy/Dockerfile',
  'deploy/compose.yaml',
  'deploy/README.md',
  'k8s/base/statefulset.yaml',
  'k8s/base/services.yaml',
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
    expect(stages).toHaveLength(3)
    expect(stages.every((stage) => stage.startsWith('FROM ${' + 'BASE}'))).toBe(true)
  })

  it('runs the command of the package, and not as root', () => {
    const entry = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? '[]') as string[]
    expect(entry).toEqual(['node', manifest.bin.ooo?.replace('./', ''), 'serve'])
    expect(dockerfile).toMatch(/^USER 1000:1000$/m)
    expect(dockerfile).toContain('npm run build')
    expect(manifest.scripts.build).toBeDefined()
  })

  it('is configured so that the node starts, on its volume and its port', () => {
    const config = configOf(imageEnv())
    expect(config.host).toBe('0.0.0.0')
    expect(dockerfile).toMatch(new RegExp(`^VOLUME ${config.data}$`, 'm'))
    expect(dockerfile).toMatch(new RegExp(`^EXPOSE ${config.port}$`, 'm'))
    expect(dockerfile).toContain(HEALTH_PATH)
  })

  it('is built from every folder that the build reads', () => {
    const kept = read('deploy/Dockerfile.dockerignore').match(/(?<=^!).*$/gm) ?? []
    expect(kept.filter((name) => !existsSync(join(ROOT, name)))).toEqual([])
    const build = JSON.parse(read('tsconfig.build.json')) as { include: string[] }
    const isKept = (path: string): boolean =>
      kept.some((name) => path === name || path.startsWith(`${name}/`))
    expect([...build.include, 'tools', 'ui'].filter((path) => !isKept(path))).toEqual([])
  })
})

describe('compose.yaml', () => {
  const text = read('deploy/compose.yaml')
  const file = parse(text, { merge: true }) as {
    services: Record<string, ComposeService>
    volumes: Record<string, null>
  }
  const services = Object.entries(file.services)
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
    }
  })

  it('gives each node its name, its address among the others and a disk of its own', () => {
    const volumes: string[] = []
    for (const [name, service] of services) {
      const config = configOf(env(service))
      expect(config.name).toBe(name)
      expect(config.advertise).toEqual({ host: name, port: config.port })
      const [volume = '', folder] = service.volumes[0]?.split(':') ?? []
      expect(folder).toBe(config.data)
      expect(Object.keys(file.volumes)).toContain(volume)
      volumes.push(volume)
    }
    expect(new Set(volumes).size).toBe(services.length)
    expect(Object.keys(file.volumes)).toHaveLength(services.length)
  })

  it('publishes each node on a port of its own, on this machine only', () => {
    const published = services.map(([, service]) => service.ports[0]?.split(':') ?? [])
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

/** The one item of a list that must have exactly one. */
function only<T>(items: readonly T[]): T {
  const [item] = items
  if (item === undefined || items.length !== 1) throw new Error(`${items.length} items, not one`)
  return item
}

describe('k8s/base', () => {
  const set = only(readManifests<StatefulSet>('k8s/base/statefulset.yaml'))
  const services = readManifests<Service>('k8s/base/services.yaml')
  const pod = set.spec.template.spec
  const container = only(pod.containers)
  const { labels } = set.spec.template.metadata

  /** The variables of the pod with that ordinal, after the start script: from a real shell. */
  function podEnv(ordinal: number): Env {
    const env: Env = imageEnv()
    for (const { name, value, valueFrom } of container.env) {
      if (valueFrom?.fieldRef !== undefined) env[name] = `${set.metadata.name}-${ordinal}`
      else if (valueFrom?.secretKeyRef !== undefined) env[name] = 'given'
      else env[name] = (value ?? '').replace(/\$\((\w+)\)/g, (_, other) => env[other] ?? '')
    }
    const seen = afterScript(container, env)
    expect(seen.ARGS).toBe('dist/cli/main.js serve')
    return seen
  }

  it('lists every file in its kustomization, at the version of the package', () => {
    const kustomization = parse(read('k8s/base/kustomization.yaml')) as {
      resources: string[]
      images: { name: string; newTag: string }[]
    }
    const others = readdirSync(join(ROOT, 'k8s/base')).filter((name) => !/^kustom/.test(name))
    expect([...kustomization.resources].sort()).toEqual(others.sort())
    const version = (JSON.parse(read('package.json')) as { version: string }).version
    expect(kustomization.images).toEqual([{ name: container.image, newTag: version }])
    expect(read('deploy/compose.yaml')).toContain(`image: ${container.image}:${version}\n`)
  })

  it('lets pod 0 lead, and the others follow it under its name in the headless service', () => {
    const headless = services.find(({ spec }) => spec.clusterIP === 'None')
    expect(headless?.metadata.name).toBe(set.spec.serviceName)
    expect(headless?.spec.publishNotReadyAddresses).toBe(true)
    const leader = configOf(podEnv(0))
    expect(leader.clusterUrl).toBeUndefined()
    for (const ordinal of [1, 2, 10]) {
      const config = configOf(podEnv(ordinal))
      const domain = set.spec.serviceName
      expect(config.clusterUrl).toBe(`http://${set.metadata.name}-0.${domain}:${leader.port}`)
      const host = `${set.metadata.name}-${ordinal}.${domain}`
      expect(config.advertise).toEqual({ host, port: config.port })
      expect(config.keys.length).toBeGreaterThan(0)
      expect(config.clusterToken).toBe('given')
    }
  })

  it('sends both services and the disruption budget to the pods, on the port they listen on', () => {
    const [port] = container.ports
    expect(port?.containerPort).toBe(configOf(podEnv(0)).port)
    expect(set.spec.selector.matchLabels).toEqual(labels)
    for (const { spec } of services) {
      expect(spec.selector).toEqual(labels)
      expect(spec.ports.map((item) => item.targetPort)).toEqual([port?.name])
    }
    const budget = only(readManifests<DisruptionBudget>('k8s/base/disruption-budget.yaml'))
    expect(budget.spec.selector.matchLabels).toEqual(labels)
  })

  it('probes the health route and keeps the data on the claimed volume', () => {
    for (const probe of [
      container.startupProbe,
      container.readinessProbe,
      container.livenessProbe,
    ]) {
      expect(probe.httpGet).toEqual({ path: HEALTH_PATH, port: container.ports[0]?.name })
    }
    const mount = container.volumeMounts.find((item) => item.mountPath === configOf(podEnv(0)).data)
    expect(only(set.spec.volumeClaimTemplates).metadata.name).toBe(mount?.name)
  })

  it('runs without privileges, and without the variables of service links', () => {
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 1000,
      fsGroup: 1000,
    })
    expect(container.securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(pod.enableServiceLinks).toBe(false)
  })

  it('takes its token from the secret that the manual tells to create', () => {
    const source = container.env.find(({ name }) => name === 'OOO_CLUSTER_TOKEN')?.valueFrom
    const { name, key } = source?.secretKeyRef ?? {}
    expect(read('deploy/README.md')).toContain(
      `create secret generic ${name} --from-literal=${key}=`,
    )
  })
})
