/** `ooo conflicts`: what was lost in concurrent writes, and getting it back. */
import { encodeJson, parseWithJsonNumbers } from '../../src/client/index.ts'
import { errorText, StateError } from '../../src/core/errors.ts'
import { TOKEN_HEADER } from '../../src/core/wire/protocol.ts'
import { type Command, type CommandContext, EXIT, quoted } from '../command/command.ts'
import { CLIENT_SETTINGS, type ClientConfig, SERVE_SETTINGS } from '../settings/config.ts'
import { resolveSettings, settingsOf } from '../settings/reading/resolve.ts'
import { type Kind, type SettingsTable, SWITCH, wholeNumber } from '../settings/reading/setting.ts'
import { formatTable } from '../terminal/table.ts'

/** Longest wait for an answer, milliseconds. */
const TIMEOUT_MS = 10_000
/** Characters of a value that a table shows. */
const SHOWN_CHARACTERS = 60

interface ConflictsConfig extends ClientConfig {
  readonly clusterToken: string | undefined
  readonly key: string | undefined
  readonly limit: number
  readonly json: boolean
}

const PATTERN: Kind<string | undefined> = {
  placeholder: 'KEY',
  allowed: 'a key or a glob such as items/*',
  parse: (text) => (text === '' ? undefined : text),
}

const CONFLICT_SETTINGS: SettingsTable<ConflictsConfig> = {
  ...CLIENT_SETTINGS,
  clusterToken: {
    ...SERVE_SETTINGS.clusterToken,
    meaning: 'secret of the cluster; better given in a file or by the variable',
  },
  key: {
    flag: 'key',
    env: undefined,
    kind: PATTERN,
    fallback: undefined,
    fallbackText: 'all',
    meaning: 'list only conflicts of this key or glob',
  },
  limit: {
    flag: 'limit',
    env: undefined,
    kind: wholeNumber(1, 1000),
    fallback: 100,
    meaning: 'list at most this many, the newest',
  },
  json: {
    flag: 'json',
    env: undefined,
    kind: SWITCH,
    fallback: false,
    meaning: 'print conflicts as JSON, one line each, values in full',
  },
}

export const CONFLICTS: Command = {
  name: 'conflicts',
  summary: 'lists what lost in concurrent writes, restores or discards it',
  operands: '[URL] [list | restore ID | discard ID]',
  operandCount: [0, 2],
  takesUrlOperand: true,
  settings: settingsOf(CONFLICT_SETTINGS),
  notes: [
    'A node lists the conflicts that it decided: ask the leader of the key.',
    'restore writes what lost anew, as a write of that node.',
  ],
  async run(args, context) {
    const [action = 'list', id] = args.positionals
    const given = { flags: args.flags, env: context.env }
    const config = resolveSettings(CONFLICT_SETTINGS, given).values
    if (action === 'list' && id === undefined) return list(config, context)
    if (action === 'restore' && id !== undefined) return restore(config, id, context)
    if (action === 'discard' && id !== undefined) {
      await call(config, 'DELETE', `/${encodeURIComponent(id)}`)
      return EXIT.done
    }
    throw new StateError(
      'invalid_option',
      `${quoted(args.positionals)}: give list, restore ID or discard ID`,
    )
  },
}

async function list(config: ConflictsConfig, context: CommandContext): Promise<number> {
  const query = new URLSearchParams({ limit: String(config.limit) })
  if (config.key !== undefined) query.set('key', config.key)
  const { conflicts, leaders } = fieldsOf(await call(config, 'GET', `?${query}`))
  const found = Array.isArray(conflicts) ? conflicts.map(fieldsOf) : []
  if (config.json) for (const conflict of found) context.stdout(`${encodeJson(conflict)}\n`)
  else if (found.length > 0) context.stdout(tableOf(found))
  if (Array.isArray(leaders) && leaders.length > 0) {
    context.stderr(`ooo: others were decided by ${leaders.join(', ')}\n`)
  }
  return EXIT.done
}

async function restore(
  config: ConflictsConfig,
  id: string,
  context: CommandContext,
): Promise<number> {
  const { key } = fieldsOf(await call(config, 'POST', `/${encodeURIComponent(id)}/restore`))
  context.stdout(`${String(key)}\n`)
  return EXIT.done
}

type Fields = Readonly<Record<string, unknown>>

function tableOf(conflicts: readonly Fields[]): string {
  const rows = conflicts.map((conflict) => {
    const { id, key, at, data, origin } = conflict
    const lost = data === null ? '(a delete)' : encodeJson(data)
    const shown = lost.length > SHOWN_CHARACTERS ? `${lost.slice(0, SHOWN_CHARACTERS)}…` : lost
    return [String(id), String(key), timeOf(at), shown, String(origin), reasonOf(conflict)]
  })
  return formatTable(['id', 'key', 'decided', 'lost', 'written by', 'lost to'], rows)
}

/** What it lost to, or why it was refused. */
function reasonOf({ winner, refused }: Fields): string {
  if (typeof refused === 'string') return `refused: ${refused}`
  const { origin, deleted } = fieldsOf(winner)
  return `${String(origin)}${deleted === true ? ' (a delete)' : ''}`
}

function timeOf(ns: unknown): string {
  return typeof ns === 'string' && /^\d{1,19}$/.test(ns)
    ? new Date(Number(BigInt(ns) / 1_000_000n)).toISOString()
    : '-'
}

/** The parsed answer; undefined when it is empty. @throws StateError what the node answered. */
async function call(config: ConflictsConfig, method: string, path: string): Promise<unknown> {
  const url = `${config.url}/-/conflicts${path}`
  let status: number
  let body: string
  try {
    const headers: Record<string, string> =
      config.clusterToken === undefined ? {} : { [TOKEN_HEADER]: config.clusterToken }
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const response = await fetch(url, { method, headers, signal })
    status = response.status
    body = await response.text()
  } catch (cause) {
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
    throw new StateError('unreachable', `${config.url}: ${errorText(reason)}`, { cause })
  }
  if (status >= 200 && status < 300) return body === '' ? undefined : parseWithJsonNumbers(body)
  const text = body.trim()
  if (status === 404 && text.startsWith('conflicts: ')) throw new StateError('not_found', text)
  if (status === 404) {
    throw new StateError('unreachable', `${config.url} keeps no conflicts: it runs without keys`)
  }
  if (status === 401) {
    const advice = 'give --cluster-token-file or OOO_CLUSTER_TOKEN'
    throw new StateError('unauthorized', `${config.url}: ${text}; ${advice}`)
  }
  if (status === 400) throw new StateError('invalid_option', text)
  throw new StateError('unreachable', `${config.url}: status ${status}: ${text}`)
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}
