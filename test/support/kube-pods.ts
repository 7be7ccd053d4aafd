/** The pods of manifests as data: what runs in them, and which configuration the node in one gets. */

import type { Manifest } from './kustomize.ts'
import { afterScript, type Env, readProjectFile } from './manifests.ts'

export interface EnvEntry {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string }
    readonly secretKeyRef?: { readonly name: string; readonly key: string }
    readonly configMapKeyRef?: { readonly name: string; readonly key: string }
  }
}

interface Probe {
  readonly httpGet?: { readonly path: string; readonly port: string }
  readonly periodSeconds: number
  readonly failureThreshold?: number
}

export interface Container {
  readonly name: string
  readonly image: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: readonly EnvEntry[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe?: Probe
  readonly readinessProbe: Probe
  readonly livenessProbe: Probe
  readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } }
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly resources: { readonly requests: Env; readonly limits: Env }
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
}

export interface Pod {
  readonly automountServiceAccountToken?: boolean
  readonly enableServiceLinks: boolean
  readonly serviceAccountName?: string
  readonly terminationGracePeriodSeconds?: number
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly containers: readonly Container[]
  readonly volumes?: readonly { readonly name: string }[]
}

/** A Deployment or StatefulSet. */
export interface Workload extends Manifest {
  readonly spec: {
    readonly replicas: number
    readonly serviceName?: string
    readonly selector: { readonly matchLabels: Env }
    readonly template: { readonly metadata: { readonly labels: Env }; readonly spec: Pod }
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[]
  }
}

export function workloads(manifests: readonly Manifest[]): Workload[] {
  return manifests.filter(
    ({ kind }) => kind === 'StatefulSet' || kind === 'Deployment',
  ) as Workload[]
}

/** Objects of a kind, as that shape. */
export function ofKind<T>(manifests: readonly Manifest[], kind: string): T[] {
  return manifests.filter((item) => item.kind === kind) as unknown as T[]
}

/** The one with that name. @throws Error when it is not there. */
export function named(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((item) => item.kind === kind && item.metadata.name === name)
  if (found === undefined) throw new Error(`no ${kind}/${name}`)
  return found
}

/** The variables that the image sets. */
export function imageEnv(): Env {
  const block = /^ENV ((?:.*\\\n)*.*)$/m.exec(readProjectFile('deploy/Dockerfile'))?.[1] ?? ''
  const pairs = block.replaceAll('\\\n', ' ').trim().split(/\s+/)
  const all = Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]))
  delete all.PATH
  return all
}

/** What the image runs when nothing else is said. */
export function imageCommand(): string[] {
  const entry = /^ENTRYPOINT (.*)$/m.exec(readProjectFile('deploy/Dockerfile'))?.[1]
  return JSON.parse(entry ?? '[]') as string[]
}

/**
 * The variables of the node in the pod with that ordinal, after the start script where there is one, which
 * runs in a real shell. Secrets give `given`, or what `secrets` has under `name/key`.
 */
export function podEnv(
  set: Workload,
  ordinal: number,
  manifests: readonly Manifest[],
  secrets: Env = {},
): Env {
  const [container] = set.spec.template.spec.containers
  if (container === undefined) throw new Error('a pod without containers')
  const env: Env = imageEnv()
  for (const { name, value, valueFrom } of container.env ?? []) {
    const { fieldRef, secretKeyRef: secret, configMapKeyRef: map } = valueFrom ?? {}
    if (fieldRef !== undefined) env[name] = `${set.metadata.name}-${ordinal}`
    else if (secret !== undefined) env[name] = secrets[`${secret.name}/${secret.key}`] ?? 'given'
    else if (map !== undefined) env[name] = configured(manifests, map)
    else
      env[name] = (value ?? '').replace(/\$\((\w+)\)/g, (_, other) => env[other] ?? `$(${other})`)
  }
  const { command, args = [] } = container
  if (command === undefined) return env
  const seen = afterScript({ command, args }, env)
  if (seen.ARGS !== imageCommand().slice(1).join(' ')) throw new Error(`it runs node ${seen.ARGS}`)
  return seen
}

function configured(manifests: readonly Manifest[], ref: { name: string; key: string }): string {
  const { data } = named(manifests, 'ConfigMap', ref.name) as Manifest & { data: Env }
  const value = data[ref.key]
  if (value === undefined) throw new Error(`ConfigMap/${ref.name} has no ${ref.key}`)
  return value
}
