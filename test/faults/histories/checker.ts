/** Runs check.py, which judges a history. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

export const CHECK_PROGRAM: string = join(import.meta.dirname, 'check.py')

export const VIOLATIONS = [
  'lost',
  'undone',
  'wentBack',
  'notConverged',
  'notLinearizable',
  'unexplained',
] as const
export type Violation = (typeof VIOLATIONS)[number]

export interface Verdict {
  readonly counts: Readonly<Record<Violation, number>>
  readonly figures: Readonly<Record<string, number>>
  readonly evidence: readonly {
    readonly kind: Violation
    readonly key: string
    readonly text: string
    readonly lines: readonly string[]
  }[]
}

/** A write whose fate has to be known before the history can be judged. */
export interface Question {
  readonly id: string
  readonly key: string
  readonly writeId: string
  readonly node: string
}

/** Why histories cannot be judged here; undefined when they can. */
export function whyNoChecker(): string | undefined {
  const { error, status, stdout, stderr } = spawnSync('python3', ['--version'], {
    encoding: 'utf8',
  })
  if (error !== undefined || status !== 0) return `python3 is needed: ${error?.message ?? stderr}`
  const [major = 0, minor = 0] = stdout.replace('Python ', '').split('.').map(Number)
  return major > 3 || minor >= 10
    ? undefined
    : `python3 must be 3.10 or newer, not ${stdout.trim()}`
}

/** The writes whose fate the history lacks. */
export function askChecker(history: string): readonly Question[] {
  return JSON.parse(run(history, '--ask', [0])) as readonly Question[]
}

/** The verdict on a history file. Throws when the file can not be read. */
export function check(history: string): Verdict {
  return JSON.parse(run(history, '--json', [0, 1])) as Verdict
}

function run(history: string, flag: string, codes: readonly number[]): string {
  // -B: the source tree keeps free of compiled files.
  const args = ['-B', CHECK_PROGRAM, history, flag]
  const options = { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 } as const
  const { error, status, stdout, stderr } = spawnSync('python3', args, options)
  if (error !== undefined) throw error
  if (!codes.includes(status ?? -1)) throw new Error(`check.py ended with ${status}: ${stderr}`)
  return stdout
}
