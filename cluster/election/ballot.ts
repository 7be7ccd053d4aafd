/**
 * The ballot of a leader: drives `ballot-state.ts` over the votes of those who follow it. Says whether the
 * leader may decide, and if not, for whom it waits.
 */
import { errorText, StateError } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/logger.ts'
import type { Grant, Vote } from '../../src/core/protocol-voting.ts'
import type { CancelTimer, TimeSource } from '../../src/core/time.ts'
import {
  decodeVoterList,
  encodeVoterList,
  isLaterList,
  isMajority,
  type VoterList,
  votersOf,
} from '../../src/core/voter-list.ts'
import {
  type BallotEffect,
  type BallotEvent,
  type BallotPhase,
  type BallotState,
  counts,
  done,
  keeps,
  stepBallot,
} from './ballot-state.ts'
import type { Voting } from './voting.ts'

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
  /** Of a leader: whether it decides; elsewhere false. */
  readonly decides: boolean
  /** Of a leader: why it does not. */
  readonly reason?: string
  /** Of a leader: voters whose state it holds. */
  readonly held: readonly string[]
}

/** New lists take in whoever joins for so long, milliseconds. */
const EARLY_MS = 60_000
/** Before what could not be stored is stored again, milliseconds. */
const RETRY_MS = 1000
/** A change of the list that takes longer goes on; who asked for it is told so, milliseconds. */
const CHANGE_MS = 10_000

export class Ballot {
  readonly #options: BallotOptions
  readonly #peers = new Map<string, BallotPeer>()
  readonly #waiting = new Set<() => void>()
  #state: BallotState
  #cancelEarly: CancelTimer
  #cancelRetry: CancelTimer | undefined
  #isOver = false

  constructor(options: BallotOptions) {
    this.#options = options
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
    }
    this.#cancelEarly = time.after(EARLY_MS, () => this.#dispatch({ type: 'settled' }))
  }

  /** To be called once what serves followers is about to run. */
  begin(): void {
    this.#dispatch({ type: 'progress' })
  }

  /** Nothing of this grant is decided any more. */
  end(): void {
    this.#isOver = true
    this.#cancelEarly()
    this.#cancelRetry?.()
    for (const wake of [...this.#waiting]) wake()
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
    peer.send(this.#grant())
    return { voted: (vote) => this.#voted(peer, vote), left: () => this.#left(peer) }
  }

  /** Somebody may hold more of the log than before. */
  progressed(): void {
    if (this.#state.issuedAt !== undefined) this.#dispatch({ type: 'progress' })
  }

  /** Whether voters that would vote with it hold the log up to `seq`: a majority, this node counted. */
  isHeldByMajority(seq: number): boolean {
    const { phase, list, self, connected } = this.#state
    if (phase !== 'deciding' || list === undefined) return false
    return isMajority(list, (name) => {
      if (name === self) return this.#options.voting.isDurable
      const voter = connected.get(name)
      return voter !== undefined && keeps(this.#state, name) && this.#cursorOf(voter.id) >= seq
    })
  }

  /** Why nothing is decided, and for whom it waits; undefined: it decides. */
  get reason(): string | undefined {
    const { phase, n } = this.#state
    if (phase === 'deciding') return undefined
    const grant = `the leader by grant ${n}`
    if (phase === 'marking') return `${grant} waits for the lease to keep the list of voters`
    const list = this.#state.founder ?? this.#state.list
    if (list === undefined) return `${grant} knows no voters`
    const missing = votersOf(list).filter((name) => !counts(this.#state, name))
    const told = missing.map((name) => `${name} (${this.#lackOf(name)})`)
    const does =
      phase === 'founding' ? 'have stored their list' : 'say that it holds what they held'
    return `${grant} waits until a majority of the voters ${does}; missing: ${told.join(', ') || 'none'}`
  }

  /**
   * Adds or removes a voter. Resolves once majorities of the list before and of the new one have it.
   * @throws StateError `undecided` when the leader does not decide, or not in time; `invalid_option`.
   */
  async change(how: 'add' | 'remove', name: string): Promise<VoterList> {
    this.#must(this.#dispatch({ type: 'change', how, name }))
    const wanted = this.#state.list
    await this.#until(() => this.#isSettled(wanted))
    return this.#settled(wanted)
  }

  /** Begins with a list of its own, because a majority of the voters' disks is lost. Errors as `change`. */
  async found(voters: readonly string[]): Promise<VoterList> {
    this.#must(this.#dispatch({ type: 'found', voters }))
    await this.#until(() => this.#state.phase === 'deciding' && this.#state.isSaved)
    return this.#settled(this.#state.list)
  }

  report(): VotersReport {
    const { list, self, phase, said } = this.#state
    const { reason } = this
    const held = list === undefined ? [] : votersOf(list)
    return {
      voters: list?.voters ?? [],
      change: list?.change ?? 0,
      ...(list?.before === undefined ? {} : { before: list.before }),
      self,
      decides: phase === 'deciding',
      ...(reason === undefined ? {} : { reason }),
      held: held.filter((name) => (name === self ? counts(this.#state, name) : said.has(name))),
    }
  }

  #voted({ id, node, scopes }: BallotPeer, vote: Vote): void {
    this.#options.heard(vote.ceiling)
    const isWide = this.#options.paths.every((path) => scopes.includes(path))
    const counted = isWide ? vote : { ...vote, held: false, whole: false }
    this.#dispatch({ type: 'vote', id, node, vote: counted })
  }

  #left({ id }: BallotPeer): void {
    this.#peers.delete(id)
    for (const [name, voter] of this.#state.connected) {
      if (voter.id === id) this.#dispatch({ type: 'left', id, name })
    }
  }

  #isSettled(wanted: VoterList | undefined): boolean {
    const { list, isSaved } = this.#state
    return isSaved && list?.before === undefined && list?.change === wanted?.change
  }

  #settled(wanted: VoterList | undefined): VoterList {
    const { list, phase } = this.#state
    if (list !== undefined && phase === 'deciding' && this.#isSettled(wanted)) return list
    throw new StateError(
      'undecided',
      `voters: not done within ${CHANGE_MS} ms, and goes on; ${this.reason ?? 'not enough voters have stored the list'}`,
    )
  }

  #must(effects: readonly BallotEffect[]): void {
    for (const effect of effects) {
      if (effect.type !== 'refuse') continue
      const code = this.#state.phase === 'deciding' ? 'invalid_option' : 'undecided'
      throw new StateError(code, `voters: ${effect.reason}`)
    }
  }

  /** Resolves when it is so, or the time is up, or the ballot is over. */
  #until(isSo: () => boolean): Promise<void> {
    if (isSo()) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        this.#waiting.delete(look)
        resolve()
      }
      const look = (): void => {
        if (isSo() || this.#isOver) end()
      }
      this.#waiting.add(look)
      const cancel = this.#options.time.after(CHANGE_MS, end)
    })
  }

  #lackOf(name: string): string {
    const { self, connected, phase } = this.#state
    if (name === self) return 'this node: its disk is empty or restored'
    const vote = connected.get(name)?.vote
    if (vote === undefined) return 'not connected'
    if (vote.refused > 0) return `${vote.refused} of its records were refused`
    if (!vote.held) return 'still sends what it held'
    return vote.whole || phase === 'founding'
      ? 'has an older list'
      : 'its disk is empty or restored'
  }

  #grant(): Grant {
    const { n, phase, list } = this.#state
    const founds = phase === 'founding' || phase === 'marking'
    return { t: 'grant', n, decides: phase === 'deciding', founds, voters: list }
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
    if (before !== state.phase && state.phase === 'deciding') {
      this.#options.logger.info('decides by its grant', { token: this.n })
    }
    for (const effect of effects) this.#run(effect)
    for (const wake of [...this.#waiting]) wake()
    return effects
  }

  #run(effect: BallotEffect): void {
    const { logger, renewSoon } = this.#options
    switch (effect.type) {
      case 'save':
        void this.#save(effect)
        break
      case 'mark':
        renewSoon()
        break
      case 'tell':
        for (const peer of this.#peers.values()) peer.send(this.#grant())
        break
      case 'twin':
        logger.warn('two nodes go by one name among the voters: the second does not count', {
          name: effect.name,
          node: effect.node,
        })
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
