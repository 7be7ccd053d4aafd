/** Where a setting's value comes from: flag, environment variable, config file, default. */
import { StateError } from '../../../src/core/errors.ts'
import { nearest } from '../../terminal/nearest.ts'
import type { AnySetting } from './arguments.ts'
import { fieldOf, fileOf, readSecret } from './secret-file.ts'
import type { Found, Setting, SettingsTable } from './setting.ts'

/** Everything a user may have given. */
export interface Given {
  readonly flags: ReadonlyMap<string, readonly string[]>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Fields of the config file, if there is one. */
  readonly file?: {
    readonly path: string
    readonly fields: ReadonlyMap<string, readonly string[]>
  }
}

export interface Resolved<T> {
  readonly values: T
  /** What gave each value, as the user knows it (`--port`, `OOO_PORT`, …); absent for defaults. */
  readonly sources: { readonly [K in keyof T]?: string }
}

/**
 * Every setting of the table, from its strongest source. An environment variable that is set but
 * empty counts as not given.
 * @throws StateError `invalid_option` naming the source and what is allowed.
 */
export function resolveSettings<T extends object>(
  table: SettingsTable<T>,
  given: Given,
): Resolved<T> {
  if (given.file !== undefined) refuseUnknownFields(settingsOf(table), given.file)
  const values: Partial<T> = {}
  const sources: { [K in keyof T]?: string } = {}
  for (const name in table) {
    const setting = table[name]
    const found = findTexts(setting, given)
    values[name] = found === undefined ? setting.fallback : readValue(setting, found)
    if (found !== undefined) sources[name] = found.source
  }
  return { values: values as T, sources }
}

/** The rows of a table, in order; behind each secret the one for a file that holds it. */
export function settingsOf<T extends object>(table: SettingsTable<T>): AnySetting[] {
  return Object.values<AnySetting>(table).flatMap((setting) =>
    setting.secret === true ? [setting, fileOf(setting)] : [setting],
  )
}

/** @throws StateError `invalid_option` for a secret given twice, or in a file that cannot be read. */
function findTexts(setting: AnySetting, given: Given): Found | undefined {
  const found = textsOf(setting, given)
  if (setting.secret !== true) return found?.given
  const inFile = textsOf(fileOf(setting), given)
  if (inFile === undefined || (found !== undefined && found.rank < inFile.rank)) return found?.given
  if (found?.rank === inFile.rank) {
    throw new StateError(
      'invalid_option',
      `${found.given.source} and ${inFile.given.source} exclude each other; give one of them`,
    )
  }
  return readSecret(inFile.given)
}

interface Ranked {
  readonly given: Found
  /** The lower the stronger. */
  readonly rank: number
}

function textsOf(setting: AnySetting, { flags, env, file }: Given): Ranked | undefined {
  const fromFlag = flags.get(setting.flag)
  if (fromFlag !== undefined) {
    return { given: { source: `--${setting.flag}`, texts: fromFlag }, rank: 0 }
  }
  const fromEnv = setting.env === undefined ? undefined : env[setting.env]
  if (setting.env !== undefined && fromEnv !== undefined && fromEnv !== '') {
    return { given: { source: setting.env, texts: [fromEnv] }, rank: 1 }
  }
  const field = fieldOf(setting)
  const fromFile = file?.fields.get(field)
  if (file === undefined || fromFile === undefined) return undefined
  return { given: { source: `${file.path}: ${field}`, texts: fromFile }, rank: 2 }
}

function readValue<T>(setting: Setting<T>, { source, texts }: Found): T {
  const { kind } = setting
  const values = texts.map((text) => {
    const value = kind.parse(text)
    if (value !== undefined) return value
    const shown = setting.secret ? 'this value' : JSON.stringify(text)
    throw new StateError(
      'invalid_option',
      `${source}: ${shown} is not allowed; give ${kind.allowed}${serviceLinkAdvice(source, text)}`,
    )
  })
  const [first] = values
  if (kind.join !== undefined) return kind.join(values)
  if (first !== undefined && values.length === 1) return first
  throw new StateError('invalid_option', `${source}: takes one value, ${values.length} are given`)
}

/** Kubernetes sets `OOO_PORT=tcp://…` in every pod beside a Service that is named `ooo`. */
function serviceLinkAdvice(source: string, text: string): string {
  if (!source.startsWith('OOO_') || !text.startsWith('tcp://')) return ''
  return ' (Kubernetes sets this for a Service of that name: say enableServiceLinks: false)'
}

function refuseUnknownFields(
  settings: readonly AnySetting[],
  file: { readonly path: string; readonly fields: ReadonlyMap<string, unknown> },
): void {
  const allowed = settings.map(fieldOf).filter((name) => name !== 'config')
  for (const name of file.fields.keys()) {
    if (allowed.includes(name)) continue
    const near = nearest(name, allowed)
    const advice =
      near === undefined ? `allowed are ${allowed.join(', ')}` : `did you mean ${near}?`
    throw new StateError('invalid_option', `${file.path}: ${name}: unknown field; ${advice}`)
  }
}
