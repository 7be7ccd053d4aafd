/** Finds the command that a command line names and runs it; every outcome becomes an exit code. */
import { createRequire } from 'node:module'
import { errorText, isStateError, StateError } from '../src/core/errors.ts'
import { type Command, type CommandContext, EXIT } from './command/command.ts'
import { BACKUP } from './commands/backup.ts'
import { CONFLICTS } from './commands/conflicts.ts'
import { DELETE, GET, PUSH, SET } from './commands/data-commands.ts'
import { DEV } from './commands/dev.ts'
import { commandHelp, overview } from './commands/help.ts'
import { IMPORT } from './commands/import.ts'
import { NODE } from './commands/node.ts'
import { NODES } from './commands/nodes.ts'
import { RESTORE } from './commands/restore.ts'
import { SERVE } from './commands/serve.ts'
import { STATUS } from './commands/status.ts'
import { VERIFY } from './commands/verify.ts'
import { VOTERS } from './commands/voters.ts'
import { WATCH } from './commands/watch.ts'
import { withUrlOperand } from './requests/target.ts'
import { type ParsedArguments, parseArguments } from './settings/reading/arguments.ts'
import { nearest } from './terminal/nearest.ts'

/** In the order of the help text. */
export const COMMANDS: readonly Command[] = [
  SERVE,
  DEV,
  GET,
  SET,
  PUSH,
  DELETE,
  WATCH,
  STATUS,
  CONFLICTS,
  VOTERS,
  NODE,
  NODES,
  BACKUP,
  VERIFY,
  RESTORE,
  IMPORT,
]

/** Runs `ooo` with these arguments; never rejects. */
export async function run(argv: readonly string[], context: CommandContext): Promise<number> {
  const [name = '--help', ...args] = argv
  try {
    if (name === '--version' || name === '-v' || name === 'version') {
      context.stdout(`${packageVersion()}\n`)
      return EXIT.done
    }
    if (name === '--help' || name === '-h' || name === 'help') {
      const [topic] = args
      context.stdout(topic === undefined ? overview(COMMANDS) : commandHelp(commandNamed(topic)))
      return EXIT.done
    }
    return await runCommand(commandNamed(name), args, context)
  } catch (error) {
    const text = isStateError(error) ? error.message : stackOf(error)
    // Some messages of the wire contract begin that way themselves.
    context.stderr(`ooo: ${text.replace(/^ooo: /, '')}\n`)
    return exitCodeOf(error)
  }
}

async function runCommand(
  command: Command,
  args: readonly string[],
  context: CommandContext,
): Promise<number> {
  const parsed = parseArguments(args, command.settings)
  if (parsed.help) {
    context.stdout(commandHelp(command))
    return EXIT.done
  }
  const given = command.takesUrlOperand === true ? withUrlOperand(parsed) : parsed
  checkOperands(command, given)
  return await command.run(given, context)
}

function checkOperands(command: Command, { positionals }: ParsedArguments): void {
  const [least, most] = command.operandCount
  if (positionals.length > most) {
    const extra = positionals[most]
    const usage = `usage: ooo ${command.name} [options] ${command.operands}`.trimEnd()
    throw new StateError('invalid_option', `${extra}: not expected here; ${usage}`)
  }
  if (positionals.length < least) {
    const usage = `ooo ${command.name} [options] ${command.operands}`
    throw new StateError('invalid_option', `something is missing; usage: ${usage}`)
  }
}

function commandNamed(name: string): Command {
  const command = COMMANDS.find((candidate) => candidate.name === name)
  if (command !== undefined) return command
  const names = COMMANDS.map((candidate) => candidate.name)
  const near = nearest(name, names)
  const advice = near === undefined ? `allowed are ${names.join(', ')}` : `did you mean ${near}?`
  throw new StateError('invalid_option', `${name}: unknown command; ${advice}`)
}

/** What the user typed wrong is told apart from what went wrong. */
function exitCodeOf(error: unknown): number {
  if (!isStateError(error)) return EXIT.failed
  if (error.code === 'not_found') return EXIT.absent
  const usage = ['invalid_option', 'invalid_key', 'invalid_glob', 'invalid_json']
  return usage.includes(error.code) ? EXIT.usage : EXIT.failed
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : errorText(error)
}

function packageVersion(): string {
  // By the package's own name, because sources and build are not equally far from the root.
  const manifest: { readonly version: string } = createRequire(import.meta.url)(
    'ooo-cluster/package.json',
  )
  return manifest.version
}
