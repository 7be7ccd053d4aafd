/** `ooo voters`: who votes for what an elected leader decides, and changes of that list. */
import { StateError } from '../../src/core/errors.ts'
import { isVoterName, VOTER_NAME_RULE } from '../../src/core/voter-list.ts'
import { type Command, type CommandContext, EXIT, quoted } from '../command/command.ts'
import { askMember } from '../requests/ask-member.ts'
import { CLIENT_SETTINGS, type ClientConfig, SERVE_SETTINGS } from '../settings/config.ts'
import { resolveSettings, settingsOf } from '../settings/reading/resolve.ts'
import { type Kind, type SettingsTable, SWITCH } from '../settings/reading/setting.ts'
import { cellText, fieldOf, rowsOf } from '../terminal/status-text.ts'
import { formatTable } from '../terminal/table.ts'

/** Longer than a change may take, milliseconds. */
const TIMEOUT_MS = 40_000

interface VotersConfig extends ClientConfig {
  readonly clusterToken: string | undefined
  /** A node that is added may connect later. */
  readonly absent: boolean
  /** Voters of before that are not to be in a list that is begun again; undefined: nobody has said so. */
  readonly giveUp: readonly string[] | undefined
  readonly json: boolean
}

const GIVEN_UP: Kind<readonly string[] | undefined> = {
  placeholder: 'NAME,…',
  allowed: `names of voters, separated by commas, or none: ${VOTER_NAME_RULE}`,
  parse: (text) => {
    if (text === 'none') return []
    const names = text.split(',').map((name) => name.trim())
    return names.every(isVoterName) ? names : undefined
  },
}

const VOTERS_SETTINGS: SettingsTable<VotersConfig> = {
  ...CLIENT_SETTINGS,
  clusterToken: {
    ...SERVE_SETTINGS.clusterToken,
    meaning: 'secret of the cluster, for changes; better given in a file or by the variable',
  },
  absent: {
    flag: 'absent',
    env: undefined,
    kind: SWITCH,
    fallback: false,
    meaning: 'add a node that is not there yet; without it the leader waits 10 s for it to connect',
  },
  giveUp: {
    flag: 'give-up',
    env: undefined,
    kind: GIVEN_UP,
    fallback: undefined,
    fallbackText: 'none, so that found only tells what it would do',
    meaning: 'for found: all voters of before that are not in the new list, or none',
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
  operands: '[URL] [list | add NAME | remove NAME | found NAME…]',
  operandCount: [0, 16],
  takesUrlOperand: true,
  settings: settingsOf(VOTERS_SETTINGS),
  notes: [
    'Any node can be asked; a change is made by the leader, once majorities of the list before and of the new one have it.',
    'found begins with a new list whatever the voters of before held: for when a majority of them or of their disks is lost or restored. What only those had acknowledged is lost then. It is refused while a majority can be waited for.',
    'has voted: the leader holds all that the voter held, also when that is away now.',
  ],
  async run(args, context) {
    const [action = 'list', ...names] = args.positionals
    const given = { flags: args.flags, env: context.env }
    const config = resolveSettings(VOTERS_SETTINGS, given).values
    const [name] = names
    const wrong = names.find((each) => !isVoterName(each))
    if (wrong !== undefined) {
      throw new StateError('invalid_option', `"${wrong}" is no name of a voter: ${VOTER_NAME_RULE}`)
    }
    if (action === 'list' && name === undefined) return printVoters(config, undefined, context)
    if ((action === 'add' || action === 'remove') && name !== undefined && names.length === 1) {
      if (action === 'add') await announceWait(config, name, context)
      const mayBeAbsent = action === 'add' && config.absent ? { absent: true } : {}
      return printVoters(config, { [action]: name, ...mayBeAbsent }, context)
    }
    if (action === 'found' && name !== undefined) {
      const { giveUp } = config
      return printVoters(
        config,
        { found: names, ...(giveUp === undefined ? {} : { giveUp }) },
        context,
      )
    }
    throw new StateError(
      'invalid_option',
      `${quoted(args.positionals)}: give list, add NAME, remove NAME or found NAME…`,
    )
  },
}

async function printVoters(
  config: VotersConfig,
  change: unknown,
  context: CommandContext,
): Promise<number> {
  const answer = await call(config, change)
  context.stdout(config.json ? `${JSON.stringify(answer)}\n` : formatVoters(answer))
  return EXIT.done
}

/** Says so before a node that is not there is waited for. */
async function announceWait(
  config: VotersConfig,
  name: string,
  context: CommandContext,
): Promise<void> {
  if (config.absent) return
  const answer = await call(config, undefined)
  const known = [fieldOf(answer, 'self'), ...rowsOf(answer, 'voters'), ...rowsOf(answer, 'others')]
  if (known.includes(name)) return
  context.stderr(`ooo: no node named "${name}" is connected; waiting up to 10 s for it\n`)
}

/** The list as a table, why nothing is decided, and what to look at. */
export function formatVoters(answer: unknown): string {
  const attendance = rowsOf(answer, 'attendance')
  const before = rowsOf(answer, 'before')
  const voters = rowsOf(answer, 'voters')
  const all = [...new Set([...voters, ...before])]
  const rows = all.map((name) => [
    cellText(name),
    ...presenceCells(attendance.find((row) => fieldOf(row, 'name') === name)),
    changeText(voters.includes(name), before.length === 0 || before.includes(name)),
  ])
  const reason = fieldOf(answer, 'reason')
  const note = fieldOf(answer, 'note')
  return [
    note === undefined ? '' : `${cellText(note)}: nothing was changed\n`,
    rows.length === 0 ? 'no voters are known\n' : formatTable(HEAD, rows),
    `list ${cellText(fieldOf(answer, 'change'))}\n`,
    reason === undefined ? '' : `conditional writes are refused: ${cellText(reason)}\n`,
    ...rowsOf(answer, 'concerns').map((warning) => `attention: ${cellText(warning)}\n`),
  ].join('')
}

const HEAD = ['voter', 'connected', 'since', 'has voted', 'lacks', 'change']

/** What the leader says of a voter; dashes where it was not asked. */
function presenceCells(row: unknown): string[] {
  if (row === undefined) return ['-', '-', '-', '-']
  const sinceMs = fieldOf(row, 'sinceMs')
  const isConnected = fieldOf(row, 'connected') === true
  return [
    isConnected ? 'yes' : 'no',
    typeof sinceMs === 'number' ? utcText(sinceMs) : '-',
    fieldOf(row, 'counts') === true ? 'yes' : 'no',
    isConnected ? cellText(fieldOf(row, 'lack')) : '-',
  ]
}

/** To the second; a dash for what is no time. */
function utcText(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? '-' : `${date.toISOString().slice(0, 19)}Z`
}

function changeText(isIn: boolean, wasIn: boolean): string {
  if (isIn && wasIn) return '-'
  return isIn ? 'being added' : 'being removed'
}

/** The list as the node tells it. @throws StateError what the node answered. */
function call(config: VotersConfig, change: unknown): Promise<unknown> {
  const missing = `${config.url} has no voters: its leader is not elected`
  return askMember(config, { path: '/-/voters', change, timeoutMs: TIMEOUT_MS, missing })
}
