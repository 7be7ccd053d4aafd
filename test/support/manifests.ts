/** The deployment files as data: their shapes as far as tests read them, and what their scripts do. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '../..')

/** Environment variables by name. */
export type Env = Record<string, string>

export interface ComposeService {
  readonly image: string
  readonly environment: Env
  readonly ports: readonly string[]
  readonly volumes?: readonly string[]
  readonly profiles?: readonly string[]
}

/** The text of a file of the project. */
export function readProjectFile(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** `${NAME:-default}` gives the default, `${NAME:?text}` and `${NAME}` a value, as with only the required ones given. */
export function interpolate(value: string): string {
  return value.replace(/\$\{[A-Z_]+(?::([-?])([^}]*))?\}/g, (_, kind, text) =>
    kind === '-' ? String(text) : 'given',
  )
}

/** Runs the container's start script with a `node` that only tells its arguments and variables. */
export function afterScript(
  container: { readonly command: readonly string[]; readonly args: readonly string[] },
  env: Env,
): Env {
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
