/** `ooo nodes`: the members of a cluster, and forgetting one that will not come back. */
import { StateError } from '../../src/core/errors.ts'
import { type Command, type CommandContext, EXIT, quoted } from '../command/command.ts'
import { askMember } from '../requests/ask-member.ts'
import { CLIENT_SETTINGS, type ClientConfig, SERVE_SETTINGS } from '../settings/config.ts'
import { resolveSettings, settingsOf } from '../settings/reading/resolve.ts'
import { type SettingsTable, SWITCH } from '../settings/reading/setting.ts'
import { cellText, fieldOf, rowsOf } from '../terminal/status-text.ts'
import { formatTable } from '../terminal/table.ts'

const TIMEOUT_MS = 10_000

interface NodesConfig extends ClientConfig {
  readonly clusterToken: string | undefined
  readonly json: boolean
}

const NODES_SETTINGS: SettingsTable<NodesConfig> = {
  ...CLIENT_SETTINGS,
  clusterToken: {
    ...SERVE_SETTINGS.clusterToken,
    meaning: 'secret of the cluster, to forget a node; better given by the variable',
  },
  json: {
    flag: 'json',
    env: undefined,
    kind: SWITCH,
    fallback: false,
    meaning: 'print the answer as JSON',
  },
}

export const NODES: Command = {
  name: 'nodes',
  summary: 'tells which nodes are members of the cluster, and forgets those that will not return',
  operands: '[URL] [list | forget ID]',
  operandCount: [0, 2],
  takesUrlOperand: true,
  settings: settingsOf(NODES_SETTINGS),
  notes: [
    'Any node can be asked; its leader answers. Members are those that joined by following it.',
    'A node is forgotten when it is away: nothing is kept for it any more, and when it does return, it is compared with. The voters stay as they are: see ooo voters.',
  ],
  async run(args, context) {
    const [action = 'list', id] = args.positionals
    const given = { flags: args.flags, env: context.env }
    const config = resolveSettings(NODES_SETTINGS, given).values
    if (action === 'list' && id === undefined) return list(config, context)
    if (action === 'forget' && id !== undefined && id !== '') return forget(config, id, context)
    throw new StateError('invalid_option', `${quoted(args.positionals)}: give list or forget ID`)
  },
}

async function list(config: NodesConfig, context: CommandContext): Promise<number> {
  const answer = await call(config, undefined)
  context.stdout(config.json ? `${JSON.stringify(answer)}\n` : formatNodes(answer))
  return EXIT.done
}

async function forget(config: NodesConfig, id: string, context: CommandContext): Promise<number> {
  const answer = await call(config, { forget: id })
  const isForgotten = fieldOf(answer, 'forgotten') === true
  if (config.json) context.stdout(`${JSON.stringify(answer)}\n`)
  else context.stdout(isForgotten ? `node "${id}" is forgotten\n` : `no node "${id}" is known\n`)
  return isForgotten ? EXIT.done : EXIT.absent
}

/** The members as a table; those away with since when. */
export function formatNodes(answer: unknown): string {
  const rows = rowsOf(answer, 'nodes').map((row) => [
    ...['name', 'id', 'address', 'version'].map((name) => cellText(fieldOf(row, name))),
    fieldOf(row, 'connected') === true ? 'yes' : 'no',
    sinceText(fieldOf(row, 'awaySinceMs')),
  ])
  if (rows.length === 0) return 'no node has joined\n'
  return formatTable(['node', 'id', 'address', 'version', 'connected', 'away since'], rows)
}

function sinceText(ms: unknown): string {
  const date = new Date(typeof ms === 'number' ? ms : Number.NaN)
  return Number.isNaN(date.getTime()) ? '-' : `${date.toISOString().slice(0, 19)}Z`
}

/** @throws StateError what the node answered. */
function call(config: NodesConfig, change: unknown): Promise<unknown> {
  const missing = `${config.url} is no member of a cluster`
  return askMember(config, { path: '/-/nodes', change, timeoutMs: TIMEOUT_MS, missing })
}
