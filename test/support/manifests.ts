/** The deployment files as data: their shapes as far as tests read them, and what their scripts do. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseAllDocuments } from 'yaml'

const ROOT = resolve(import.meta.dirname, '../..')

/** Environment variables by name. */
export type Env = Record<string, string>

export interface ComposeService {
  readonly image: string
  readonly environment: Env
  readonly ports: readonly string[]
  readonly volumes: readonly string[]
}

interface EnvEntry {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string }
    readonly secretKeyRef?: { readonly name: string; readonly key: string }
  }
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}

export interface Container {
  readonly image: string
  readonly command: readonly string[]
  readonly args: readonly string[]
  readonly env: readonly EnvEntry[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe: Probe
  readonly readinessProbe: Probe
  readonly livenessProbe: Probe
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
}

interface Named {
  readonly metadata: { readonly name: string }
}

export interface StatefulSet extends Named {
  readonly spec: {
    readonly serviceName: string
    readonly selector: { readonly matchLabels: Env }
    readonly template: {
      readonly metadata: { readonly labels: Env }
      readonly spec: {
        readonly enableServiceLinks: boolean
        readonly securityContext: Readonly<Record<string, unknown>>
        readonly containers: readonly Container[]
      }
    }
    readonly volumeClaimTemplates: readonly Named[]
  }
}

export interface Service extends Named {
  readonly spec: {
    readonly clusterIP?: string
    readonly publishNotReadyAddresses?: boolean
    readonly selector: Env
    readonly ports: readonly { readonly port: number; readonly targetPort: string }[]
  }
}

export interface DisruptionBudget extends Named {
  readonly spec: { readonly selector: { readonly matchLabels: Env } }
}

/** The text of a file of the project. */
export function readProjectFile(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** The documents of a manifest, taken as that shape. Throws on YAML that does not parse. */
export function readManifests<T>(file: string): T[] {
  return parseAllDocuments(readProjectFile(file)).map((document) => {
    const [error] = document.errors
    if (error !== undefined) throw error
    return document.toJS() as T
  })
}

/** `${NAME:-default}` gives the default and `${NAME:?text}` a value, as with only the required ones given. */
export function interpolate(value: string): string {
  return value.replace(/\$\{[A-Z_]+:([-?])([^}]*)\}/g, (_, kind, text) =>
    kind === '-' ? String(text) : 'given',
  )
}

/** Runs the container's start script with a `node` that only tells its arguments and variables. */
export function afterScript(container: Container, env: Env): Env {
  const folder = mkdtempSync(join(tmpdir(), 'ooo-deploy-'))
  try {
    const fake = `#!/bin/sh\necho "ARGS=$*"\nenv\n`
    writeFileSync(join(folder, 'node'), fake, { mode: 0o755 })
    const [shell = '', ...options] = container.command
    const result = spawnSync(shell, [...options, ...container.args], {
      env: { ...env, PATH: `${folder}:${process.env.PATH}` },
      encoding: 'utf8',
    })
    if (result.status !== 0) throw new Error(`the start script failed: ${result.stderr}`)
    const lines = result.stdout.split('\n').filter((line) => line.includes('='))
    const seen = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    )
    return seen
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
