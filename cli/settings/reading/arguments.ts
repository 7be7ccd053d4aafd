/** Reads a command line into flags and positionals, against the settings a command has. */
import { StateError } from '../../../src/core/errors.ts'
import { nearest } from '../../terminal/nearest.ts'

/** What can be said of a setting without knowing the type of its value. */
export interface AnySetting {
  readonly flag: string
  readonly field?: string
  readonly env: string | undefined
  readonly meaning: string
  readonly fallback: unknown
  readonly fallbackText?: string
  readonly secret?: boolean
  readonly kind: {
    readonly placeholder: string | undefined
    readonly allowed: string
    join?(values: readonly never[]): unknown
  }
}

export interface ParsedArguments {
  /** The texts given for each flag, in order. */
  readonly flags: ReadonlyMap<string, readonly string[]>
  readonly positionals: readonly string[]
  /** Whether `--help` or `-h` was among the arguments. */
  readonly help: boolean
}

/**
 * `--flag value`, `--flag=value`, `--switch`; after `--` everything is a positional.
 * @throws StateError `invalid_option` naming the flag: unknown, without a value, given twice.
 */
export function parseArguments(
  args: readonly string[],
  settings: readonly AnySetting[],
): ParsedArguments {
  const flags = new Map<string, string[]>()
  const positionals: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? ''
    if (arg === '--') {
      positionals.push(...args.slice(i + 1))
      break
    }
    if (arg === '--help' || arg === '-h') return { flags, positionals, help: true }
    if (!arg.startsWith('-') || arg === '-' || /^-\d/.test(arg)) {
      positionals.push(arg)
      continue
    }
    const [name, inline] = splitInline(arg)
    const setting = settings.find(({ flag }) => `--${flag}` === name)
    if (setting === undefined) throw unknownFlag(name, settings)
    const takesNext = inline === undefined && setting.kind.placeholder !== undefined
    const text = takesNext ? valueAfter(args, ++i, setting) : (inline ?? 'true')
    append(flags, setting, text)
  }
  return { flags, positionals, help: false }
}

function splitInline(arg: string): [name: string, inline: string | undefined] {
  const equals = arg.indexOf('=')
  return equals === -1 ? [arg, undefined] : [arg.slice(0, equals), arg.slice(equals + 1)]
}

function valueAfter(args: readonly string[], at: number, setting: AnySetting): string {
  const text = args[at]
  // A flag in the place of a value is far more often a slip than a value; `=` settles it.
  if (text !== undefined && !/^--?[a-zA-Z]/.test(text)) return text
  throw new StateError(
    'invalid_option',
    `--${setting.flag}: needs a value; give ${setting.kind.allowed}`,
  )
}

function append(flags: Map<string, string[]>, setting: AnySetting, text: string): void {
  const texts = flags.get(setting.flag)
  if (texts === undefined) {
    flags.set(setting.flag, [text])
  } else if (setting.kind.join === undefined) {
    throw new StateError('invalid_option', `--${setting.flag}: given more than once`)
  } else {
    texts.push(text)
  }
}

function unknownFlag(name: string, settings: readonly AnySetting[]): StateError {
  const names = settings.map(({ flag }) => `--${flag}`)
  const near = nearest(name, [...names, '--help'])
  const advice =
    near === undefined
      ? `allowed are ${[...names, '--help'].join(', ')}`
      : `did you mean ${near}? (--help lists all flags)`
  return new StateError('invalid_option', `${name}: unknown flag; ${advice}`)
}
