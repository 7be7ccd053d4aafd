/** The `ooo` command as a real process, with what it printed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { OOO_COMMAND, PROJECT_ROOT } from './built.ts'
import { waitFor } from './wait.ts'

export interface CliOptions {
  /** Added to an environment without any `OOO_…` variable. */
  readonly env?: Readonly<Record<string, string>>
  /** Working directory. Default: the root of the checkout. */
  readonly cwd?: string
  /** What to give as standard input. Default: none. */
  readonly stdin?: string
  /** What to run, with arguments of its own before `args`. Default: the built command. */
  readonly command?: readonly [program: string, ...args: string[]]
}

export interface CliEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** One running command. `dispose` ends it, if it still runs. */
export class CliProcess {
  stdout = ''
  stderr = ''
  readonly ended: Promise<CliEnd>
  readonly #child: ChildProcess
  #end: CliEnd | undefined

  constructor(args: readonly string[], options: CliOptions = {}) {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('OOO_'))
    const [program, ...before] = options.command ?? [process.execPath, OOO_COMMAND]
    const child = spawn(program, [...before, ...args], {
      cwd: options.cwd ?? PROJECT_ROOT,
      env: { ...Object.fromEntries(inherited), ...options.env },
      stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
    this.#child = child
    child.stdin?.end(options.stdin)
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#end = { code, signal, stdout: this.stdout, stderr: this.stderr }
        resolve(this.#end)
      })
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Stops reading what it prints, as `| head` does. */
  closeOutput(): void {
    this.#child.stdout?.destroy()
  }

  /** Waits until standard output matches; fails at once when the command ends before that. */
  async output(pattern: RegExp, deadlineMs = 60_000): Promise<RegExpExecArray> {
    const found = (): RegExpExecArray | null => pattern.exec(this.stdout)
    const what = `${pattern} from ooo`
    await waitFor(() => found() !== null || this.#end !== undefined, { deadlineMs, what })
    const match = found()
    if (match !== null) return match
    throw new Error(`ooo ended without printing ${pattern}: ${JSON.stringify(this.#end)}`)
  }

  /** Kills it, if it runs, and waits for its end. */
  async dispose(): Promise<void> {
    if (this.#end === undefined) this.#child.kill('SIGKILL')
    await this.ended
  }
}

/** Runs a command to its end. */
export function runCli(args: readonly string[], options?: CliOptions): Promise<CliEnd> {
  return new CliProcess(args, options).ended
}

/** Whether a process of this pid exists. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
