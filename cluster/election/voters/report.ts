/** What people are told of a ballot: who votes, who is here since when, and what can not be done without them. */
import { NO_LEADER } from '../../../src/core/unknown-leader.ts'
import { isMajority, type VoterList, votersOf } from '../../../src/core/voter-list.ts'
import type { LeaseReport } from '../election.ts'
import type { Twin } from './attendance.ts'
import { type BallotState, counts } from './ballot-state.ts'
import { canVote } from './founding-guard.ts'

/** One voter, as the leader sees it. */
export interface Attendance {
  readonly name: string
  /** The leader itself is. */
  readonly connected: boolean
  /** Since when it is or is not, as far as this leader knows; milliseconds since the Unix epoch. */
  readonly sinceMs: number
  /** Its vote counts: the leader holds all that it held, and its disk is whole. */
  readonly counts: boolean
  /** Why it is not counted on now; absent when it is. */
  readonly lack?: string
}

/** What people are told of voters. */
export interface VotersReport {
  /** Names, ascending; empty while it is not known who votes. */
  readonly voters: readonly string[]
  /** How many lists there were before this one, from 1; 0: there is none. */
  readonly change: number
  /** Of those, the ones before the change that is under way; absent when none is. */
  readonly before?: readonly string[]
  /** How the list knows this node. */
  readonly self: string
  /** Whether this node decides now: it holds the lease, and a majority has voted. Elsewhere false. */
  readonly decides: boolean
  /** Of a leader: why it does not. */
  readonly reason?: string
  /** Of a leader: voters whose vote counts, here or away: it holds all that they held. */
  readonly held: readonly string[]
  /** Of a leader: everybody in the list, and in the one before. */
  readonly attendance?: readonly Attendance[]
  /** Of a leader: how many more voters a majority needs now; 0: there is one. */
  readonly missing?: number
  /** Of a leader: connected nodes that are no voters. */
  readonly others?: readonly string[]
  /** What people should look at, as sentences; beside the reason. */
  readonly concerns?: readonly string[]
}

/** A grant may belong to nobody any more, or another one was made. */
export interface Lapse {
  /** Milliseconds since the Unix epoch. */
  readonly sinceMs: number
  /** Why the lease was not renewed, where that is known. */
  readonly error: string | undefined
}

/** A ballot and what it knows of who is here. */
export interface BallotView {
  readonly state: BallotState
  /** undefined: the grant is held now. */
  readonly lapse: Lapse | undefined
  /** Since when a voter is connected, or is not; milliseconds since the Unix epoch. */
  readonly sinceMs: (name: string) => number
  readonly twins: readonly Twin[]
  /** What else people should look at; undefined: nothing. */
  readonly warning?: string | undefined
}

/** A leader that begins a list of its own waits so long at most for others to be in it, milliseconds. */
export const GATHER_MS = 3000

const IN_MEMORY = 'it keeps what it has in memory only'
const WAY_OUT =
  'if they are lost for good, "ooo voters found NAME… --give-up NAME,…" begins with others: what only those given up have acknowledged is lost then'

/**
 * Why nothing is decided: undefined is the one meaning of "this node decides". It holds the lease now, by its
 * own clock, and a majority of the voters has voted.
 */
export function reasonOf(view: BallotView): string | undefined {
  const { state, lapse } = view
  if (lapse === undefined) return waitsFor(view)
  const why = lapse.error === undefined ? '' : ` (${lapse.error})`
  return `the lease of grant ${state.n} has lapsed at ${utcText(lapse.sinceMs)}: ${NO_LEADER}${why}`
}

/** What the leader that holds the lease waits for before it decides; undefined: nothing. */
export function waitsFor(view: BallotView): string | undefined {
  const { state } = view
  const { phase, n } = state
  if (phase === 'deciding') return undefined
  const grant = `the leader by grant ${n}`
  if (phase === 'marking') return `${grant} waits for the lease to keep the list of voters`
  if (state.isWaiting && state.founder !== undefined) {
    return `${grant} begins the list of voters, and waits up to ${GATHER_MS / 1000} s for others to be in it`
  }
  const list = state.founder ?? state.list
  if (list === undefined) return `${grant} knows no voters`
  const missing = votersOf(list).filter((name) => !counts(state, name))
  const described = missing.map((name) => describeVoter(view, name))
  const does = phase === 'founding' ? 'have stored their list' : 'say that it holds what they held'
  return `${grant} waits until a majority of the voters ${does}; missing: ${described.join(', ') || 'none'}`
}

export function reportBallot(view: BallotView): VotersReport {
  const { state } = view
  const { list, self, connected } = state
  const reason = reasonOf(view)
  const known = list === undefined ? [] : votersOf(list)
  return {
    voters: list?.voters ?? [],
    change: list?.change ?? 0,
    ...(list?.before === undefined ? {} : { before: list.before }),
    self,
    decides: reason === undefined,
    ...(reason === undefined ? {} : { reason }),
    held: known.filter((name) => counts(state, name)),
    attendance: known.map((name) => attendanceOf(view, name)),
    ...(list === undefined ? {} : { missing: missingOf(list, (name) => isHere(state, name)) }),
    others: [...connected.keys()].filter((name) => !known.includes(name)).sort(),
    concerns: warningsOf(view),
  }
}

/**
 * What a node that is no leader says of who decides, when nothing tells it any more: who led last, and since when
 * that is not confirmed. undefined: it is known who leads, or nobody is known to have led.
 */
export function unconfirmedText(
  lease: LeaseReport | undefined,
  followed: string | undefined,
): string | undefined {
  if (lease?.unconfirmedSinceMs === undefined) return undefined
  const { holder, unconfirmedSinceMs, lastError } = lease
  const why = lastError === undefined ? '' : ` (${lastError})`
  const last = holder?.url ?? followed
  if (last === undefined) return undefined
  return `it is not known who leads: ${last} did last, unconfirmed since ${utcText(unconfirmedSinceMs)}${why}`
}

/** A voter and what it lacks: `b (not connected since 2026-01-01T00:00:00Z)`. */
export function describeVoter(view: BallotView, name: string): string {
  return `${name} (${lackOf(view, name) ?? 'does not hold it yet'})`
}

function attendanceOf(view: BallotView, name: string): Attendance {
  const { state, sinceMs } = view
  const lack = isHere(state, name) ? undefined : lackOf(view, name)
  return {
    name,
    connected: name === state.self || state.connected.has(name),
    sinceMs: sinceMs(name),
    counts: counts(state, name),
    ...(lack === undefined ? {} : { lack }),
  }
}

/** Whether a majority can count on a voter now. */
function isHere(state: BallotState, name: string): boolean {
  if (state.phase !== 'deciding') return counts(state, name)
  const vote = state.connected.get(name)?.vote
  return name === state.self || (vote?.held === true && vote.whole)
}

function missingOf({ voters, before = voters }: VoterList, has: (name: string) => boolean): number {
  const lacks = [voters, before].map(
    (names) => Math.floor(names.length / 2) + 1 - names.filter(has).length,
  )
  return Math.max(0, ...lacks)
}

function warningsOf(view: BallotView): string[] {
  const { warning } = view
  return [...(warning === undefined ? [] : [warning]), ...votingWarnings(view)]
}

function votingWarnings(view: BallotView): string[] {
  const { state, twins } = view
  const { list, founder, phase, self } = state
  const same = twins.map(
    ({ name, nodes }) =>
      `another node goes by the name ${name} (${nodes.join(', ')}): only the first counts as a voter; give each node a --name of its own`,
  )
  if (phase === 'deciding' && list !== undefined) return [...awayOf(view, list), ...same]
  const wanted = founder ?? list
  if (wanted === undefined || isMajority(wanted, (name) => canVote(state, name))) return same
  const lost = votersOf(wanted).filter((name) => !canVote(state, name))
  const whose = lost.includes(self) ? 'too few voters can vote' : 'too few voters are here'
  const described = lost.map((name) => describeVoter(view, name)).join(', ')
  return [`${whose}: ${described}; nothing is decided until they can; ${WAY_OUT}`, ...same]
}

/** What a list of one voter means; undefined for longer ones. */
export function onlyVoterText(list: VoterList | undefined): string | undefined {
  const [only, ...more] = list === undefined ? [] : votersOf(list)
  if (only === undefined || more.length > 0) return undefined
  return `${only} is the only voter: while it is away nobody decides; add others by "ooo voters add NAME", or name them all by --voters at the first start`
}

/** What a leader that decides can not do without those who are away. */
function awayOf(view: BallotView, list: VoterList): string[] {
  const { state } = view
  const all = votersOf(list)
  const only = onlyVoterText(list)
  if (only !== undefined) return [only]
  const away = all.filter((name) => !isHere(state, name))
  if (away.length === 0) return []
  const described = away.map((name) => describeVoter(view, name)).join(', ')
  const missing = missingOf(list, (name) => isHere(state, name))
  if (missing === 0) {
    const are = away.length === 1 ? 'voters is' : 'voters are'
    return [`${away.length} of ${all.length} ${are} away: ${described}`]
  }
  const here = all.length - away.length
  return [
    `no majority of the voters is here: ${here} of ${all.length}, ${missing} more ${missing === 1 ? 'is' : 'are'} needed; away: ${described}. Nothing that needs a majority is acknowledged: ?ack=majority, and changes of the voters; another leader would decide nothing. Other writes go on. ${WAY_OUT.replace(/^i/, 'I')}`,
  ]
}

/** What keeps a voter from being counted on; undefined: nothing. */
function lackOf({ state, sinceMs }: BallotView, name: string): string | undefined {
  const { self, connected, phase, isWhole } = state
  if (name === self) {
    return isWhole ? IN_MEMORY : 'this node: its disk is empty or restored'
  }
  const vote = connected.get(name)?.vote
  if (vote === undefined) return `not connected since ${utcText(sinceMs(name))}`
  if (vote.refused > 0) return `${vote.refused} of its records were refused`
  if (!vote.held) return 'still sends what it held'
  if (!vote.whole && phase !== 'founding') return 'its disk is empty or restored'
  if (phase === 'deciding') return vote.durable ? undefined : IN_MEMORY
  return 'has an older list'
}

/** To the second: `2026-01-01T00:00:00Z`. */
function utcText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
