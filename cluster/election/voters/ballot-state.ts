/**
 * Whether the leader of one grant may decide what does not merge: a pure machine.
 *
 * ```
 *              majority holds              majority has stored      the lease keeps
 *  gathering ───(a list known)────────────────────────────────────────────────────▶ deciding
 *     ▲  └──────(nobody has a list)──▶ founding ──────────▶ marking ──────────────▶    │
 *     └─────────────── a later list is heard of, or the list is founded again ──────────┘
 * ```
 *
 * A voter counts once it has said "you hold all I held" and its disk is whole: the one on which it voted
 * before, or refilled by a leader that decided. Where nobody has made a list yet, whoever has none counts
 * whatever its disk, since nothing was decided before. The leader itself counts under the same rule.
 *
 * Invariants, checked by `test/quick/election/ballot-state.test.ts`:
 * 1. It decides only after a majority of the latest list it has heard of counted, of both lists while the
 *    list changes.
 * 2. A list that it founds is stored by a majority, and kept by the lease as done, before it decides: whoever
 *    finds it not done goes on founding, since nothing was decided by it.
 * 3. A change of the list adds or removes one name. It begins only when a majority of the new list could
 *    vote, and is done only when majorities of both lists have stored it and hold all that the leader held
 *    when it began.
 * 4. It never goes back to an older list.
 */
import {
  isLaterList,
  isMajority,
  MAX_VOTERS,
  type VoterList,
} from '../../../src/core/voter-list.ts'
import type { Vote } from '../../../src/core/wire/voting.ts'

export type BallotPhase = 'gathering' | 'founding' | 'marking' | 'deciding'

/** The latest vote of a node that is connected. */
export interface Connected {
  /** Of the stream. */
  readonly id: string
  /** Id of the node. */
  readonly node: string
  readonly vote: Vote
}

export interface BallotState {
  readonly phase: BallotPhase
  /** Fencing number. */
  readonly n: number
  /** How the list of voters knows this node. */
  readonly self: string
  /** The disk of this node is whole. */
  readonly isWhole: boolean
  /** The latest that was heard of; undefined: none was made yet. */
  readonly list: VoterList | undefined
  /** This node has stored `list`. */
  readonly isSaved: boolean
  /** The list to begin with, where there is none, or where somebody said that the voters' disks are lost. */
  readonly founder: (VoterList & { readonly isForced?: true }) | undefined
  /** By name, those of whom the leader holds all they held; `isNew`: they had no list then. */
  readonly said: ReadonlyMap<string, { readonly isWhole: boolean; readonly isNew: boolean }>
  readonly connected: ReadonlyMap<string, Connected>
  /** Head of the log when `list` was issued here, while others are to store it. */
  readonly issuedAt: number | undefined
  /** Nodes that join may become voters for a while, however many there are. */
  readonly isEarly: boolean
  /** The list was founded in this grant. */
  readonly hasFounded: boolean
  /** The list that this node would begin for itself waits for others to be in it. */
  readonly isWaiting: boolean
}

export type BallotEvent =
  | ({ readonly type: 'vote' } & Connected)
  | { readonly type: 'left'; readonly id: string; readonly name: string }
  /** Somebody may hold more of the log than before. */
  | { readonly type: 'progress' }
  /** This node has stored the list, durably. */
  | { readonly type: 'saved'; readonly list: VoterList }
  /** The lease keeps the list. */
  | { readonly type: 'marked'; readonly list: VoterList }
  | { readonly type: 'change'; readonly how: 'add' | 'remove'; readonly name: string }
  /** Somebody says that a majority of the voters' disks is lost: begin with these. */
  | { readonly type: 'found'; readonly voters: readonly string[] }
  /** Nodes that join later become no voters, once there are enough. */
  | { readonly type: 'settled' }
  /** A list of its own waits for nobody any more. */
  | { readonly type: 'gathered' }

export type BallotEffect =
  /** Store the list, durably, and that the disk is whole or not; then `saved`. */
  | { readonly type: 'save'; readonly list: VoterList; readonly isWhole: boolean }
  /** Have the lease keep the list; then `marked`. */
  | { readonly type: 'mark'; readonly list: VoterList }
  /** Everybody connected is to hear of the grant again. */
  | { readonly type: 'report' }
  /** Two nodes go by one name: the second does not count. */
  | { readonly type: 'twin'; readonly name: string; readonly node: string; readonly id: string }
  | { readonly type: 'refuse'; readonly reason: string }

/** What the machine looks at and does not keep. */
export interface BallotContext {
  /** Of the leader's log. */
  readonly head: number
  /** Up to which seq the node of a stream holds everything; 0 while it compares. */
  readonly cursorOf: (id: string) => number
}

export interface BallotStep {
  readonly state: BallotState
  readonly effects: readonly BallotEffect[]
}

/** With fewer voters than this an open list takes in whoever joins. */
export const ENOUGH_VOTERS = 3

export function stepBallot(
  state: BallotState,
  event: BallotEvent,
  context: BallotContext,
): BallotStep {
  switch (event.type) {
    case 'vote':
      return heard(state, event, context)
    case 'left': {
      if (state.connected.get(event.name)?.id !== event.id) return { state, effects: [] }
      const connected = new Map(state.connected)
      connected.delete(event.name)
      return { state: { ...state, connected }, effects: [] }
    }
    case 'progress':
      return proceed(state, context)
    case 'saved':
      if (!isSame(state.list, event.list)) return { state, effects: [] }
      return saved({ ...state, isSaved: true }, event.list, context)
    case 'marked':
      if (state.phase !== 'marking' || state.list === undefined) return { state, effects: [] }
      if (!isSame(done(state.list), event.list)) return { state, effects: [] }
      return decide({ ...state, founder: undefined }, event.list, context)
    case 'change':
      return change(state, event, context)
    case 'found':
      return foundAnew(state, event.voters, context)
    case 'settled':
      return { state: { ...state, isEarly: false }, effects: [] }
    case 'gathered':
      return state.isWaiting ? proceed(gathered(state), context) : { state, effects: [] }
  }
}

/** Whether a voter counts towards deciding. */
export function counts(state: BallotState, name: string): boolean {
  const { self, isWhole, founder, said } = state
  const isFounding = founder !== undefined
  if (name === self) return isWhole || isFounding
  const held = said.get(name)
  if (held === undefined) return false
  return held.isWhole || (isFounding && (held.isNew || founder.isForced === true))
}

/** Whether a connected voter has what it acknowledges, and would vote with it: for `?ack=majority`. */
export function keeps(state: BallotState, name: string): boolean {
  const vote = state.connected.get(name)?.vote
  return vote?.held === true && vote.whole && vote.durable
}

function heard(
  before: BallotState,
  { id, node, vote }: Extract<BallotEvent, { type: 'vote' }>,
  context: BallotContext,
): BallotStep {
  const { name } = vote
  if (vote.n !== before.n) return { state: before, effects: [] }
  const known = before.connected.get(name)
  if (name === before.self || (known !== undefined && known.node !== node)) {
    return { state: before, effects: [{ type: 'twin', name, node, id }] }
  }
  const connected = new Map(before.connected).set(name, { id, node, vote })
  const { state, effects } = adopt({ ...before, connected }, vote.voters)
  const said = new Map(state.said)
  if (vote.held) {
    const earlier = said.get(name)
    said.set(name, {
      isWhole: vote.whole || earlier?.isWhole === true,
      isNew: !vote.voters || vote.voters.isFounding === true || earlier?.isNew === true,
    })
  }
  const step = proceed({ ...state, said }, context)
  return { state: step.state, effects: [...effects, ...step.effects] }
}

/**
 * Takes a list that was made later than the one known here, and any that is done while one is being founded:
 * who founds without having known of it began with an empty disk.
 */
function adopt(state: BallotState, list: VoterList | undefined): BallotStep {
  const { founder, phase, hasFounded } = state
  if (list === undefined || list.isFounding || founder?.isForced) return { state, effects: [] }
  const isFounding = founder !== undefined && phase !== 'marking'
  if (!isFounding && !isLaterList(list, state.list)) return { state, effects: [] }
  if (phase === 'deciding' && !hasFounded) return outdo(state, list)
  const isVoid = phase !== 'gathering'
  return {
    state: {
      ...{ ...state, phase: 'gathering', list, founder: undefined, hasFounded: false },
      ...{ isSaved: false, isWhole: state.isWhole && !isVoid, issuedAt: undefined },
    },
    effects: isVoid ? [{ type: 'save', list, isWhole: false }, { type: 'report' }] : [],
  }
}

/**
 * A majority of the list before has voted without it, so an earlier leader had not got far with this one:
 * ours is made again, later than it.
 */
function outdo(state: BallotState, theirs: VoterList): BallotStep {
  const { list = theirs, n } = state
  const ours = { ...list, lease: n, change: Math.max(list.change, theirs.change) + 1 }
  return {
    state: { ...state, list: ours, isSaved: false },
    effects: [{ type: 'save', list: ours, isWhole: true }, { type: 'report' }],
  }
}

/** Goes on as far as what is known allows. */
function proceed(state: BallotState, context: BallotContext): BallotStep {
  const { phase, list, founder } = state
  switch (phase) {
    case 'gathering': {
      if (state.isWaiting && founder !== undefined) {
        const isEnough = membersOf(state).length >= ENOUGH_VOTERS
        return isEnough ? proceed(gathered(state), context) : { state, effects: [] }
      }
      const wanted = founder ?? list
      if (wanted === undefined || !isMajority(wanted, (name) => counts(state, name))) {
        return { state, effects: [] }
      }
      if (founder === undefined) return decide(state, wanted, context)
      const { isForced: _, ...founded } = founder
      const next: BallotState = { ...state, phase: 'founding', isWhole: true, hasFounded: true }
      return issue(next, { ...founded, isFounding: true }, context)
    }
    case 'founding':
      if (list === undefined || !isMajority(list, (name) => hasStored(state, name, context))) {
        return { state, effects: [] }
      }
      return {
        state: { ...state, phase: 'marking' },
        effects: [{ type: 'mark', list: done(list) }],
      }
    case 'marking':
      return { state, effects: [] }
    case 'deciding':
      return list === undefined ? { state, effects: [] } : settle(state, list, context)
  }
}

/** Who would be in a list that this node begins for itself. */
function membersOf({ self, connected, said }: BallotState): string[] {
  return [self, ...[...connected.keys()].filter((name) => said.has(name))].slice(0, MAX_VOTERS)
}

/** Begins its list with those who are here. Nothing was decided, and nobody else has stored one. */
function gathered(state: BallotState): BallotState {
  const { founder } = state
  const voters = membersOf(state).sort()
  return {
    ...state,
    isWaiting: false,
    ...(founder === undefined ? {} : { founder: { ...founder, voters } }),
  }
}

/** Others hear of a list that is not done once it can not be forgotten here. */
function saved(state: BallotState, list: VoterList, context: BallotContext): BallotStep {
  const step = proceed(state, context)
  if (isSame(list, done(list))) return step
  return { state: step.state, effects: [{ type: 'report' }, ...step.effects] }
}

function decide(state: BallotState, list: VoterList, context: BallotContext): BallotStep {
  const issuedAt = list.before === undefined ? undefined : context.head
  const next: BallotState = {
    ...{ ...state, phase: 'deciding', list, isWhole: true, issuedAt },
    isSaved: false,
  }
  return { state: next, effects: [{ type: 'save', list, isWhole: true }, { type: 'report' }] }
}

/** Ends a change of the list, or begins the next one. */
function settle(state: BallotState, list: VoterList, context: BallotContext): BallotStep {
  if (list.before === undefined) return grow(state, list, context)
  if (!isMajority(list, (name) => hasStored(state, name, context))) return { state, effects: [] }
  const settled = { ...done(list), lease: state.n }
  return {
    state: { ...state, list: settled, isSaved: false, issuedAt: undefined },
    effects: [
      { type: 'save', list: settled, isWhole: true },
      { type: 'mark', list: settled },
      { type: 'report' },
    ],
  }
}

/** While there are few, or early in the life of the list, who joins becomes a voter. */
function grow(state: BallotState, list: VoterList, context: BallotContext): BallotStep {
  const { voters, isOpen } = list
  const hasRoom = voters.length < ENOUGH_VOTERS || (state.isEarly && voters.length < MAX_VOTERS)
  if (isOpen !== true || !hasRoom || !state.isSaved) return { state, effects: [] }
  const [next] = [...state.connected.keys()]
    .filter((name) => !voters.includes(name) && isMember(state, name))
    .sort()
  return next === undefined
    ? { state, effects: [] }
    : issue(state, changed(state, list, [...voters, next], { isOpen }), context)
}

function isMember(state: BallotState, name: string): boolean {
  const vote = state.connected.get(name)?.vote
  return vote?.held === true && vote.whole
}

function change(
  state: BallotState,
  { how, name }: Extract<BallotEvent, { type: 'change' }>,
  context: BallotContext,
): BallotStep {
  const { list, phase } = state
  const refuse = (reason: string): BallotStep => ({ state, effects: [{ type: 'refuse', reason }] })
  if (phase !== 'deciding' || list === undefined) return refuse('the leader does not decide yet')
  if (list.before !== undefined) return refuse('another change is under way')
  const isIn = list.voters.includes(name)
  if (how === 'add' ? isIn : !isIn)
    return refuse(`${name} is ${isIn ? 'a voter already' : 'no voter'}`)
  const voters = isIn ? list.voters.filter((one) => one !== name) : [...list.voters, name]
  if (voters.length === 0) return refuse(`${name} is the last voter`)
  if (voters.length > MAX_VOTERS) return refuse(`there are ${list.voters.length} voters, the most`)
  // A majority that waits to be refilled by a leader that decides would wait for itself.
  const isReady = (one: string): boolean => one === state.self || isMember(state, one)
  const lacking = voters.filter((one) => !isReady(one))
  if (lacking.length * 2 >= voters.length) {
    return refuse(
      `too few of the new voters are connected and whole; missing: ${lacking.join(', ')}`,
    )
  }
  return issue(state, changed(state, list, voters, {}), context)
}

function changed(
  { n }: BallotState,
  list: VoterList,
  voters: readonly string[],
  more: Pick<VoterList, 'isOpen'>,
): VoterList {
  return {
    voters: [...voters].sort(),
    before: list.voters,
    lease: n,
    change: list.change + 1,
    ...more,
  }
}

function issue(state: BallotState, list: VoterList, { head }: BallotContext): BallotStep {
  return {
    state: { ...state, list, isSaved: false, issuedAt: head },
    effects: [{ type: 'save', list, isWhole: true }],
  }
}

function foundAnew(
  state: BallotState,
  voters: readonly string[],
  context: BallotContext,
): BallotStep {
  const { n, list } = state
  const change = (list?.change ?? 0) + 1
  const founder = { voters: [...voters].sort(), lease: n, change, isForced: true } as const
  const step = proceed(
    { ...state, phase: 'gathering', founder, issuedAt: undefined, isWaiting: false },
    context,
  )
  return { state: step.state, effects: [...step.effects, { type: 'report' }] }
}

/** Whether a voter has stored the list that was issued, and all that the leader held then. */
function hasStored(state: BallotState, name: string, { cursorOf }: BallotContext): boolean {
  const { self, list, connected, isSaved, issuedAt = 0 } = state
  if (name === self) return isSaved
  const voter = connected.get(name)
  if (voter === undefined || !isSame(voter.vote.voters, list)) return false
  return voter.vote.held && voter.vote.whole && cursorOf(voter.id) >= issuedAt
}

/** The list once it has been agreed on. */
export function done({ before: _, isFounding: __, ...list }: VoterList): VoterList {
  return list
}

function isSame(a: VoterList | undefined, b: VoterList | undefined): boolean {
  return a !== undefined && b !== undefined && !isLaterList(a, b) && !isLaterList(b, a)
}
