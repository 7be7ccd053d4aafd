/** `ooo status`: how a node stands in its cluster. */
import { errorText, StateError } from '../../src/core/errors.ts'
import { parseExact } from '../../src/core/json/json.ts'
import { type Command, EXIT } from '../command/command.ts'
import { nodeOf } from '../requests/target.ts'
import { CLIENT_SETTINGS, type ClientConfig } from '../settings/config.ts'
import { resolveSettings, settingsOf } from '../settings/reading/resolve.ts'
import { type SettingsTable, SWITCH } from '../settings/reading/setting.ts'
import { cellText, formatStatus, rowsOf } from '../terminal/status-text.ts'

/** Longest wait for the answer, milliseconds. */
const TIMEOUT_MS = 10_000

interface StatusConfig extends ClientConfig {
  readonly json: boolean
}

const STATUS_SETTINGS: SettingsTable<StatusConfig> = {
  ...CLIENT_SETTINGS,
  json: {
    flag: 'json',
    env: undefined,
    kind: SWITCH,
    fallback: false,
    meaning: 'print what the node answers, as JSON',
  },
}

export const STATUS: Command = {
  name: 'status',
  summary: 'prints the role of a node, its links and its followers',
  operands: '[URL]',
  operandCount: [0, 1],
  settings: settingsOf(STATUS_SETTINGS),
  notes: [
    'behind: changes not applied, and the age of the oldest; outbox: changes the leader has not acknowledged. The same as metrics: GET /-/cluster/metrics.',
  ],
  async run(args, context) {
    const { url, path } = nodeOf(args, context.env)
    if (path !== '' || (args.positionals.length === 1 && !args.positionals[0]?.includes('://'))) {
      throw new StateError(
        'invalid_option',
        `${args.positionals[0]}: give a node such as http://10.0.0.1:8800, without a path`,
      )
    }
    const { json } = resolveSettings(STATUS_SETTINGS, { ...args, env: context.env }).values
    const status = await fetchStatus(url)
    if (status === undefined) {
      context.stderr(`ooo: ${url} is no member of a cluster: it runs without keys\n`)
      return EXIT.failed
    }
    if (json) {
      context.stdout(`${status}\n`)
      return EXIT.done
    }
    context.stdout(formatStatus(parseExact(status)))
    for (const warning of await fetchWarnings(url)) context.stdout(`\nattention: ${warning}\n`)
    return EXIT.done
  },
}

/** The node's own account as JSON text, or undefined when it is no member of a cluster. */
async function fetchStatus(url: string): Promise<string | undefined> {
  const response = await ask(url, '/-/cluster')
  const body = await response.text()
  if (response.status === 404) return undefined
  if (!response.ok) {
    throw new StateError('unreachable', `${url}: status ${response.status}: ${body.trim()}`)
  }
  parseExact(body)
  return body
}

/** What the node says people should look at, such as damage of its storage; nothing from an older one. */
async function fetchWarnings(url: string): Promise<readonly string[]> {
  const response = await ask(url, '/-/readyz')
  const isJson = response.headers.get('content-type')?.includes('json') === true
  const body = await response.text()
  return isJson ? rowsOf(parseExact(body), 'reasons').map(cellText) : []
}

/** @throws StateError `unreachable` when no answer comes. */
async function ask(url: string, path: string): Promise<Response> {
  try {
    return await fetch(`${url}${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
  } catch (cause) {
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
    throw new StateError('unreachable', `${url}: ${errorText(reason)}`, { cause })
  }
}
