/** `ooo voters`: who votes for what an elected leader decides, and changes of that list. */
import { errorText, StateError } from '../src/core/errors.ts'
import { TOKEN_HEADER } from '../src/core/protocol.ts'
import { type Command, type CommandContext, EXIT } from './command.ts'
import { CLIENT_SETTINGS, type ClientConfig, SERVE_SETTINGS } from './config.ts'
import { resolveSettings, settingsOf } from './resolve.ts'
import { type SettingsTable, SWITCH } from './setting.ts'
import { cellText, fieldOf, rowsOf } from './status-text.ts'
import { formatTable } from './table.ts'

/** Longer than a change may take, milliseconds. */
const TIMEOUT_MS = 30_000

interface VotersConfig extends ClientConfig {
  readonly clusterToken: string | undefined
  readonly json: boolean
}

const VOTERS_SETTINGS: SettingsTable<VotersConfig> = {
  ...CLIENT_SETTINGS,
  clusterToken: {
    ...SERVE_SETTINGS.clusterToken,
    meaning: 'secret of the cluster, for changes; better given in a file or by the variable',
  },
  json: {
    flag: 'json',
    env: undefined,
    kind: SWITCH,
    fallback: false,
    meaning: 'print the list as JSON',
  },
}

export const VOTERS: Command = {
  name: 'voters',
  summary: 'tells and changes who votes for what an elected leader decides',
  operands: '[list | add NAME | remove NAME | found NAME…]',
  operandCount: [0, 16],
  settings: settingsOf(VOTERS_SETTINGS),
  notes: [
    'Any node can be asked; a change is made by the leader, once majorities of the list before and of the new one have it.',
    'found begins with a new list whatever the voters of before held: for when a majority of their disks is lost or restored. What only those had acknowledged may be lost then.',
  ],
  async run(args, context) {
    const [action = 'list', ...names] = args.positionals
    const given = { flags: args.flags, env: context.env }
    const config = resolveSettings(VOTERS_SETTINGS, given).values
    const [name] = names
    if (action === 'list' && name === undefined) return tell(config, undefined, context)
    if ((action === 'add' || action === 'remove') && name !== undefined && names.length === 1) {
      return tell(config, { [action]: name }, context)
    }
    if (action === 'found' && name !== undefined) return tell(config, { found: names }, context)
    throw new StateError(
      'invalid_option',
      `${args.positionals.join(' ')}: give list, add NAME, remove NAME or found NAME…`,
    )
  },
}

async function tell(
  config: VotersConfig,
  change: unknown,
  context: CommandContext,
): Promise<number> {
  const told = await call(config, change)
  context.stdout(config.json ? `${JSON.stringify(told)}\n` : formatVoters(told))
  return EXIT.done
}

/** The list as a table, and why nothing is decided. */
export function formatVoters(told: unknown): string {
  const held = rowsOf(told, 'held')
  const before = rowsOf(told, 'before')
  const voters = rowsOf(told, 'voters')
  const all = [...new Set([...voters, ...before])]
  const rows = all.map((name) => [
    cellText(name),
    held.includes(name) ? 'yes' : '-',
    changeText(voters.includes(name), before.length === 0 || before.includes(name)),
  ])
  const reason = fieldOf(told, 'reason')
  return [
    rows.length === 0 ? 'no voters are known\n' : formatTable(['voter', 'held', 'change'], rows),
    `list ${cellText(fieldOf(told, 'change'))}\n`,
    reason === undefined ? '' : `conditional writes are refused: ${cellText(reason)}\n`,
  ].join('')
}

function changeText(isIn: boolean, wasIn: boolean): string {
  if (isIn && wasIn) return '-'
  return isIn ? 'being added' : 'being removed'
}

/** The list as the node tells it. @throws StateError what the node answered. */
async function call({ url, clusterToken }: VotersConfig, change: unknown): Promise<unknown> {
  const token: Record<string, string> = clusterToken ? { [TOKEN_HEADER]: clusterToken } : {}
  let status: number
  let body: string
  try {
    const response = await fetch(`${url}/-/voters`, {
      ...(change === undefined ? {} : { method: 'POST', body: JSON.stringify(change) }),
      headers: token,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    status = response.status
    body = (await response.text()).trim()
  } catch (cause) {
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
    throw new StateError('unreachable', `${url}: ${errorText(reason)}`, { cause })
  }
  if (status === 200) return JSON.parse(body) as unknown
  if (status === 401) {
    const advice = 'give --cluster-token-file or OOO_CLUSTER_TOKEN'
    throw new StateError('unauthorized', `${url}: ${body}; ${advice}`)
  }
  if (status === 404)
    throw new StateError('not_found', `${url} has no voters: its leader is not elected`)
  if (status === 400) throw new StateError('invalid_option', body)
  throw new StateError('unreachable', `${url}: status ${status}: ${body}`)
}
