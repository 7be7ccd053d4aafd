/** `ooo status`: how a node stands in its cluster. */
import { errorText, StateError } from '../src/core/errors.ts'
import { parseExact } from '../src/core/json.ts'
import { type Command, EXIT } from './command.ts'
import { CLIENT_SETTINGS } from './config.ts'
import { settingsOf } from './resolve.ts'
import { formatTable } from './table.ts'
import { nodeOf } from './target.ts'

/** Longest wait for the answer, milliseconds. */
const TIMEOUT_MS = 10_000

export const STATUS: Command = {
  name: 'status',
  summary: 'prints the role of a node, its links and its followers',
  operands: '[URL]',
  operandCount: [0, 1],
  settings: settingsOf(CLIENT_SETTINGS),
  notes: [],
  async run(args, context) {
    const { url, path } = nodeOf(args, context.env)
    if (path !== '' || (args.positionals.length === 1 && !args.positionals[0]?.includes('://'))) {
      throw new StateError(
        'invalid_option',
        `${args.positionals[0]}: give a node such as http://10.0.0.1:8800, without a path`,
      )
    }
    const status = await fetchStatus(url)
    if (status === undefined) {
      context.stderr(`ooo: ${url} is no member of a cluster: it runs without keys\n`)
      return EXIT.failed
    }
    context.stdout(formatStatus(status))
    for (const concern of await fetchConcerns(url)) context.stdout(`\nattention: ${concern}\n`)
    return EXIT.done
  },
}

/** The node's own account, or undefined when it is no member of a cluster. */
async function fetchStatus(url: string): Promise<unknown> {
  const response = await ask(url, '/-/cluster')
  const body = await response.text()
  if (response.status === 404) return undefined
  if (!response.ok) {
    throw new StateError('unreachable', `${url}: status ${response.status}: ${body.trim()}`)
  }
  return parseExact(body)
}

/** What the node says people should look at, such as damage of its storage; nothing from an older one. */
async function fetchConcerns(url: string): Promise<readonly string[]> {
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

/** The status of a node as text. What the node does not tell shows as `-`. */
export function formatStatus(status: unknown): string {
  const sections = [
    formatTable(
      ['name', 'role', 'id', 'epoch', 'head'],
      [cells(status, ['name', 'role', 'id', 'epoch', 'head'])],
    ),
  ]
  const links = rowsOf(status, 'links')
  if (links.length > 0) {
    const columns = ['url', 'state', 'cursor', 'outbox']
    const rows = links.map((link) => cells(link, columns))
    sections.push(formatTable(['follows', 'state', 'cursor', 'outbox'], rows))
  }
  const followers = rowsOf(status, 'followers')
  if (followers.length > 0) {
    const columns = ['name', 'address', 'id', 'cursor', 'lagRows']
    const rows = followers.map((follower) => cells(follower, columns))
    sections.push(formatTable(['follower', 'address', 'id', 'cursor', 'lag'], rows))
  }
  return sections.join('\n')
}

function rowsOf(status: unknown, name: string): unknown[] {
  const rows = fieldOf(status, name)
  return Array.isArray(rows) ? rows : []
}

function cells(row: unknown, names: readonly string[]): string[] {
  return names.map((name) => cellText(fieldOf(row, name)))
}

function fieldOf(row: unknown, name: string): unknown {
  return typeof row === 'object' && row !== null
    ? (row as Readonly<Record<string, unknown>>)[name]
    : undefined
}

/** A cell of text; a position in a log is an object of epoch and seq, of which seq tells more. */
function cellText(value: unknown): string {
  if (value === undefined || value === null || value === '') return '-'
  if (typeof value !== 'object') return String(value).replace(/\p{Cc}/gu, ' ')
  const seq = fieldOf(value, 'seq')
  return seq === undefined ? JSON.stringify(value) : String(seq)
}
