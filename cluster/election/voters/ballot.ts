/**
 * The ballot of a leader: drives `ballot-state.ts` over the votes of those who follow it. Says whether the
 * leader may decide, and if not, for whom it waits.
 */
import { errorText } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../../../src/core/ports/time.ts'
import {
  decodeVoterList,
  encodeVoterList,
  isLaterList,
  isMajority,
  type VoterList,
  votersOf,
} from '../../../src/core/voter-list.ts'
import type { Grant, Vote } from '../../../src/core/wire/voting.ts'
import { Presence, Twins } from './attendance.ts'
import {
  type BallotEffect,
  type BallotEvent,
  type BallotPhase,
  type BallotState,
  done,
  keeps,
  stepBallot,
} from './ballot-state.ts'
import {
  type BallotView,
  describeVoter,
  GATHER_MS,
  type Lapse,
  onlyVoterText,
  reasonOf,
  reportBallot,
  type VotersReport,
  waitsFor,
} from './report.ts'
import { VoterChanges } from './voter-changes.ts'
import type { Voting } from './voting.ts'
import type { Yielding } from './yielding.ts'

export interface BallotOptions {
  /** Fencing number of the grant. */
  readonly n: number
  readonly voting: Voting
  /** What the lease keeps of the voters; empty: nothing. */
  readonly marked: string
  /** With whom to begin where nobody has made a list. Default: this node, and who joins. */
  readonly founders: readonly string[] | undefined
  /** Paths that the leader leads by election: a voter replicates all of them. */
  readonly paths: readonly string[]
  /** Head of the leader's log. */
  readonly head: () => number
  /** Hears up to which stamp earlier leaders may have decided, as a voter knows it. */
  readonly heard: (ceiling: bigint) => void
  /** undefined: the grant is held now. */
  readonly lapse: () => Lapse | undefined
  /** Lets a node lead that knows of deletes which this one has missed. Default: it never does. */
  readonly yielding?: Yielding
  /** Has the lease keep `mark` soon. */
  readonly renewSoon: () => void
  readonly time: TimeSource
  readonly logger: Logger
}

/** A follower's stream, as the ballot sees it. */
export interface BallotPeer {
  /** Of the stream. */
  readonly id: string
  /** Id of the node. */
  readonly node: string
  readonly scopes: readonly string[]
  /** Up to which seq it holds everything; 0 while it compares. */
  cursor(): number
  send(grant: Grant): void
}

/** New lists take in whoever joins for so long, milliseconds. */
const EARLY_MS = 60_000
/** Before what could not be stored is stored again, milliseconds. */
const RETRY_MS = 1000

export class Ballot {
  readonly #options: BallotOptions
  readonly #peers = new Map<string, BallotPeer>()
  readonly #changes: VoterChanges
  readonly #presence: Presence
  readonly #twins = new Twins()
  #state: BallotState
  #cancelEarly: CancelTimer
  #cancelGather: CancelTimer | undefined
  #cancelRetry: CancelTimer | undefined
  #isOver = false

  constructor(options: BallotOptions) {
    this.#options = options
    this.#changes = new VoterChanges({
      ...{ time: options.time, logger: options.logger },
      state: () => this.#state,
      dispatch: (event) => this.#dispatch(event),
      isOver: () => this.#isOver,
      reason: () => this.reason,
    })
    this.#presence = new Presence(nowMs(options.time))
    const { n, voting, founders, time } = options
    const latest = latestOf(voting.list, decodeMarked(options))
    const isFounded = latest !== undefined && latest.isFounding === undefined
    const list = isFounded ? latest : undefined
    const self = voting.name
    const founder = {
      voters: [...(founders ?? latest?.voters ?? [self])].sort(),
      ...{ lease: n, change: latest?.change ?? 1 },
    }
    this.#state = {
      phase: 'gathering',
      n,
      self,
      isWhole: voting.isWhole,
      list,
      isSaved: false,
      founder:
        list !== undefined ? undefined : founders ? founder : { ...founder, isOpen: true as const },
      said: new Map(),
      connected: new Map(),
      issuedAt: undefined,
      isEarly: list === undefined,
      hasFounded: false,
      isWaiting: latest === undefined && founders === undefined,
    }
    this.#cancelEarly = time.after(EARLY_MS, () => this.#dispatch({ type: 'settled' }))
  }

  /** To be called once what serves followers is about to run. */
  begin(): void {
    if (this.#state.isWaiting) {
      const gathered = (): void => void this.#dispatch({ type: 'gathered' })
      this.#cancelGather = this.#options.time.after(GATHER_MS, gathered)
    }
    this.#dispatch({ type: 'progress' })
  }

  /** Nothing of this grant is decided any more. */
  end(): void {
    this.#isOver = true
    this.#cancelEarly()
    this.#cancelGather?.()
    this.#cancelRetry?.()
    this.#changes.wake()
  }

  get n(): number {
    return this.#options.n
  }

  get phase(): BallotPhase {
    return this.#state.phase
  }

  get list(): VoterList | undefined {
    return this.#state.list
  }

  /** What the lease is to keep of the voters; empty: nothing yet. */
  get mark(): string {
    const { phase, list, isSaved } = this.#state
    if (list === undefined || list.before !== undefined) return ''
    if (phase === 'marking') return encodeVoterList(done(list))
    return phase === 'deciding' && isSaved ? encodeVoterList(list) : ''
  }

  /** The lease keeps this of the voters. */
  marked(voters: string): void {
    const list = voters === this.mark ? decodeVoterList(voters) : undefined
    if (list !== undefined) this.#dispatch({ type: 'marked', list })
  }

  /** Tells a follower the grant; it takes part once it votes. */
  join(peer: BallotPeer): { voted(vote: Vote): void; left(): void } {
    this.#peers.set(peer.id, peer)
    peer.send(this.#grant(false))
    return { voted: (vote) => this.#voted(peer, vote), left: () => this.#left(peer) }
  }

  /** Somebody may hold more of the log than before. */
  progressed(): void {
    if (this.#state.issuedAt !== undefined) this.#dispatch({ type: 'progress' })
  }

  /** Whether voters that would vote with it hold the log up to `seq`: a majority, this node counted. */
  isHeldByMajority(seq: number): boolean {
    const { phase, list } = this.#state
    if (phase !== 'deciding' || list === undefined) return false
    return isMajority(list, (name) => this.#holds(name, seq))
  }

  /** Which voters do not hold the log up to `seq`, and why; or why nobody is counted. */
  unconfirmed(seq: number): string {
    const { list } = this.#state
    const waits = waitsFor(this.#view)
    if (waits !== undefined || list === undefined) return `all; ${waits ?? 'none are known'}`
    const missing = votersOf(list).filter((name) => !this.#holds(name, seq))
    return missing.map((name) => describeVoter(this.#view, name)).join(', ')
  }

  #holds(name: string, seq: number): boolean {
    const { self, connected } = this.#state
    if (name === self) return this.#options.voting.isDurable
    const voter = connected.get(name)
    return voter !== undefined && keeps(this.#state, name) && this.#cursorOf(voter.id) >= seq
  }

  /** Why nothing is decided; undefined: it decides. */
  get reason(): string | undefined {
    return reasonOf(this.#view)
  }

  /** Adds or removes a voter; see `VoterChanges.change`. */
  change(...asked: Parameters<VoterChanges['change']>): Promise<VoterList> {
    return this.#changes.change(...asked)
  }

  /** Begins with a list of its own; see `VoterChanges.found`. */
  found(...asked: Parameters<VoterChanges['found']>): Promise<VoterList> {
    return this.#changes.found(...asked)
  }

  report(): VotersReport {
    return reportBallot(this.#view)
  }

  get #view(): BallotView {
    const state = this.#state
    const firstOf = (name: string): string | undefined =>
      name === state.self ? this.#options.voting.node : state.connected.get(name)?.node
    return {
      state,
      lapse: this.#options.lapse(),
      sinceMs: (name) => this.#presence.sinceMs(name),
      twins: this.#twins.report(firstOf),
      warning: this.#options.yielding?.warning,
    }
  }

  #voted({ id, node, scopes }: BallotPeer, vote: Vote): void {
    this.#options.heard(vote.ceiling)
    if (vote.missed) {
      this.#missed(vote)
      return
    }
    const isWide = this.#options.paths.every((path) => scopes.includes(path))
    const counted = isWide ? vote : { ...vote, held: false, whole: false }
    this.#dispatch({ type: 'vote', id, node, vote: counted })
  }

  /** A majority that has voted knew of no deletes that this node has missed: then it goes on leading. */
  #missed({ n, name }: Vote): void {
    if (n !== this.n || this.#isOver || this.phase === 'deciding') return
    this.#options.yielding?.missed(name)
  }

  #left({ id }: BallotPeer): void {
    this.#peers.delete(id)
    const twin = this.#twins.nameOf(id)
    this.#twins.delete(id)
    for (const [name, voter] of this.#state.connected) {
      if (voter.id !== id) continue
      this.#dispatch({ type: 'left', id, name })
      this.#askTwins(name)
    }
    if (twin !== undefined) this.#reportTwin(twin)
  }

  /** Another node went by this name: whoever is left counts once it has voted again. */
  #askTwins(name: string): void {
    for (const id of this.#twins.streamsOf(name)) {
      this.#twins.delete(id)
      this.#peers.get(id)?.send(this.#grant(false))
    }
  }

  /** The node that counts hears whether others go by its name. */
  #reportTwin(name: string): void {
    const first = this.#state.connected.get(name)
    if (first !== undefined) this.#peers.get(first.id)?.send(this.#grant(this.#twins.has(name)))
  }

  #foundTwin({ name, node, id }: Extract<BallotEffect, { type: 'twin' }>): void {
    if (!this.#twins.add(id, name, node)) return
    this.#options.logger.warn(
      'two nodes go by one name among the voters: the second does not count',
      { name, node },
    )
    this.#peers.get(id)?.send(this.#grant(true))
    this.#reportTwin(name)
  }

  /** @param isTwin another node goes by the name of the one that is told. */
  #grant(isTwin: boolean): Grant {
    const { n, phase, list } = this.#state
    const founds = phase === 'founding' || phase === 'marking'
    const places = phase === 'deciding' ? undefined : this.#options.yielding?.placesToSend()
    return {
      t: 'grant',
      n,
      decides: phase === 'deciding',
      founds,
      voters: list,
      ...(isTwin ? { isTwin } : {}),
      ...(places === undefined ? {} : { places }),
    }
  }

  #hasTwin(id: string): boolean {
    const isFirst = ([name, voter]: readonly [string, { readonly id: string }]): boolean =>
      voter.id === id && this.#twins.has(name)
    return this.#twins.nameOf(id) !== undefined || [...this.#state.connected].some(isFirst)
  }

  #cursorOf(id: string): number {
    return this.#peers.get(id)?.cursor() ?? 0
  }

  #dispatch(event: BallotEvent): readonly BallotEffect[] {
    if (this.#isOver) return []
    const { head } = this.#options
    const context = { head: head(), cursorOf: (id: string) => this.#cursorOf(id) }
    const before = this.#state.phase
    const { state, effects } = stepBallot(this.#state, event, context)
    this.#state = state
    this.#presence.note(state.connected, nowMs(this.#options.time))
    if (before !== state.phase && state.phase === 'deciding') {
      this.#options.logger.info('decides by its grant', { token: this.n })
      const only = onlyVoterText(state.list)
      if (only !== undefined) this.#options.logger.warn(only)
    }
    for (const effect of effects) this.#run(effect)
    this.#changes.wake()
    return effects
  }

  #run(effect: BallotEffect): void {
    const { renewSoon } = this.#options
    switch (effect.type) {
      case 'save':
        void this.#save(effect)
        break
      case 'mark':
        renewSoon()
        break
      case 'report':
        for (const [id, peer] of this.#peers) peer.send(this.#grant(this.#hasTwin(id)))
        break
      case 'twin':
        this.#foundTwin(effect)
        break
      case 'refuse':
        break
    }
  }

  async #save(effect: Extract<BallotEffect, { type: 'save' }>): Promise<void> {
    const { list, isWhole } = effect
    const { voting, logger, time, n } = this.#options
    try {
      await voting.save({ n, list, isWhole })
      this.#dispatch({ type: 'saved', list })
    } catch (error) {
      logger.error('the list of voters could not be stored; trying again', {
        error: errorText(error),
      })
      if (!this.#isOver) this.#cancelRetry = time.after(RETRY_MS, () => void this.#save(effect))
    }
  }
}

function nowMs(time: TimeSource): number {
  return Number(time.wallNs() / NS_PER_MS)
}

function latestOf(a: VoterList | undefined, b: VoterList | undefined): VoterList | undefined {
  return b !== undefined && isLaterList(b, a) ? b : a
}

/** What the lease keeps is a help: a node that can not read it asks the others. */
function decodeMarked({ marked, logger }: BallotOptions): VoterList | undefined {
  try {
    return decodeVoterList(marked)
  } catch (error) {
    logger.warn('the lease keeps no list of voters', { error: errorText(error) })
    return undefined
  }
}
