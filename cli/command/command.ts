/** What a command of `ooo` is, and what it may touch of the process it runs in. */
import type { AnySetting, ParsedArguments } from '../settings/reading/arguments.ts'

/**
 * Exit codes of every command. `killed` adds the number of the signal, as shells do.
 */
export const EXIT: Readonly<Record<'done' | 'failed' | 'usage' | 'absent' | 'killed', number>> = {
  done: 0,
  failed: 1,
  usage: 2,
  absent: 3,
  killed: 128,
}

/** Exit code of a process that a signal ended. */
export function exitCodeOfSignal(signal: StopSignal): number {
  return EXIT.killed + { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }[signal]
}

export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/** The process as commands see it. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Writes results. */
  stdout(text: string): void
  /** Writes everything else: problems, progress, logs. */
  stderr(text: string): void
  /** Writes bytes as results; resolves when more may be written. Absent: they cannot be written here. */
  stdoutBytes?(bytes: Uint8Array): Promise<void>
  /** Standard input as it comes. Absent: there is none. */
  stdinBytes?(): AsyncIterable<Uint8Array>
  /** Whether a person watches standard error on a terminal. Default false. */
  readonly stderrIsTerminal?: boolean
  /** All of standard input, as text. */
  readStdin(): Promise<string>
  /** Hears every stop signal, which then no longer ends the process; the result unsubscribes. */
  onSignal(listener: (signal: StopSignal) => void): () => void
  /** Hears once that nobody reads standard output any more. */
  onOutputClosed(listener: () => void): void
  /** Ends the process at once, with whatever is still open. */
  exitNow(code: number): void
}

export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What follows `ooo` and the name, without the options. */
  readonly operands: string
  /** Paragraphs below the options in help. */
  readonly notes: readonly string[]
  readonly settings: readonly AnySetting[]
  /** Least and greatest number of operands. */
  readonly operandCount: readonly [least: number, most: number]
  /** A URL among the operands is its `--url`, and not counted. Default: operands are what the command makes of them. */
  readonly takesUrlOperand?: true
  /**
   * Runs to its end; resolves with the exit code. Rejects with StateError: `invalid_option` for
   * wrong usage, others for a failure that its message explains.
   */
  run(args: ParsedArguments, context: CommandContext): Promise<number>
}

/** Operands in a message: each in quotes, so that empty ones and spaces show. */
export function quoted(operands: readonly string[]): string {
  return operands.map((operand) => `"${operand}"`).join(' ')
}
