/**
 * Carries out what an election decides, on an open store: the engine of one placement is stopped, what is
 * pending is addressed to the new leader, and the engine of the next placement is started. Reads, writes and
 * subscriptions go on meanwhile.
 *
 * What does not merge is decided once a majority of the voters has said that this node holds what they held
 * (`ballot.ts`), and with stamps between what the lease keeps of the leader before and the own ceiling.
 *
 * The order of a change: the engine stops; a node that is to lead begins an epoch of its log, whose id
 * begins with the fencing number, so that what it decides is of that epoch from the first write on; the
 * store answers to the new placement; what this node wrote as a leader and no follower has got becomes
 * pending for the new leader; what was decided is noted; the engine starts.
 *
 * A leader whose lease has lapsed goes on serving its followers, since what they exchange merges; what does
 * not merge is refused (`leaderOf` says that another node leads), and what it writes is pending for whichever
 * node leads next.
 */

import type { HybridClock } from '../../src/core/data/clock.ts'
import { errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import {
  type CancelTimer,
  NS_PER_MS,
  type Random,
  type TimeSource,
} from '../../src/core/ports/time.ts'
import { UNKNOWN_LEADER } from '../../src/core/unknown-leader.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { DecisionTerms } from '../../src/store/types/store-options.ts'
import { Election, type LeaseReport } from '../election/election.ts'
import type { Holder, Lease, LeaseMark } from '../election/lease/lease.ts'
import type { ElectionDecision } from '../election/state.ts'
import { Ballot } from '../election/voters/ballot.ts'
import { type Lapse, unconfirmedText, type VotersReport } from '../election/voters/report.ts'
import type { Standing } from '../election/voters/standing.ts'
import { Voting } from '../election/voters/voting.ts'
import { Yielding } from '../election/voters/yielding.ts'
import { type Placement, scopeOf } from '../members/placement.ts'
import { placesInStep } from '../progress/missed-deletes.ts'
import type { ClusterEngine } from './engine.ts'
import { enqueueUnshared, unsharedAfter } from './unshared.ts'

/** What runs under one placement. */
export interface LeaderTerm {
  readonly engine: Pick<ClusterEngine, 'followers' | 'status' | 'onProgress' | 'ask'>
  stop(): Promise<void>
}

export interface LeadershipOptions<R extends LeaderTerm> {
  /**
   * Opened with `setLeaderOf` told `leaderOf`, and `setDecisionTerms` told `decisionTerms`, of this
   * leadership, before `start`.
   */
  readonly store: ReplicationStore
  /** Stamps what the store writes. */
  readonly clock: HybridClock
  /** By which the list of voters knows this node. Default: its id. */
  readonly voter?: string | undefined
  /** With whom to begin a list of voters. Default: with who runs for the lease. */
  readonly voters?: readonly string[] | undefined
  /** The placement when this URL leads; undefined: when this node does. */
  readonly plan: (leader: string | undefined) => Placement
  /** Starts what runs under a placement. */
  readonly run: (placement: Placement, standing: Standing) => Promise<R>
  readonly time: TimeSource
  readonly random: Random
  readonly newId: () => string
  readonly logger: Logger
}

/** What is kept on disk of the last change. */
interface Note {
  readonly token: number
  /** Who leads; null: this node. */
  readonly url: string | null
  /** Of a leader: up to which seq of its log it has shared everything, at least. */
  readonly sharedTo: number
  /** The greatest ceiling that was heard of, as integer text; absent in rows of earlier builds. */
  readonly ceiling?: string
}

const ROW = 'lease'
/** Before what failed is tried again, milliseconds. */
const RETRY_MS = 1000
/** A leader that stops waits so long at most for its followers to have everything, milliseconds. */
const DRAIN_MS = 1000

export class Leadership<R extends LeaderTerm> {
  readonly #options: LeadershipOptions<R>
  /** Paths whose leader is elected. */
  readonly #elected: ReadonlySet<string>
  #placement: Placement
  #term: R | undefined
  #election: Election | undefined
  #note: Note = { token: 0, url: UNKNOWN_LEADER, sharedTo: 0 }
  /** After this seq, what this node led is not known to be anywhere else; undefined: all is, or is pending. */
  #unshared: number | undefined
  /** The decision that is not carried out yet. */
  #wanted: Exclude<ElectionDecision, { kind: 'lapsed' }> | undefined
  #work: Promise<void> = Promise.resolve()
  #cancelRetry: CancelTimer | undefined
  #closing: Promise<void> | undefined
  readonly #voting: Voting
  readonly #yielding: Yielding
  /** Of the grant that this node leads by. */
  #ballot: Ballot | undefined

  constructor(options: LeadershipOptions<R>) {
    this.#options = options
    this.#voting = new Voting({ store: options.store, name: options.voter })
    this.#voting.ceilingBefore = (n) => this.#election?.ceilingBefore(n) ?? 0n
    this.#yielding = new Yielding({
      ...{ ...options, voting: this.#voting },
      giveUp: () => this.#election?.yieldLease() ?? 0n,
    })
    this.#placement = options.plan(UNKNOWN_LEADER)
    const elected = this.#placement.scopes.filter(({ leader }) => leader === UNKNOWN_LEADER)
    this.#elected = new Set(elected.map(({ path }) => path))
  }

  /** The present one. */
  get placement(): Placement {
    return this.#placement
  }

  /** What runs; undefined during a change, and before and after everything. */
  get term(): R | undefined {
    return this.#term
  }

  /** undefined before the start. */
  report(): LeaseReport | undefined {
    return this.#election?.report()
  }

  /** Who votes, as this node knows it. */
  voters(): VotersReport {
    const { leader } = this.#placement.scopes.find(({ path }) => this.#elected.has(path)) ?? {}
    const followed = leader === UNKNOWN_LEADER ? undefined : leader
    return (
      this.#ballot?.report() ?? reportOf(this.#voting, unconfirmedText(this.report(), followed))
    )
  }

  /** Of this node as the leader of a grant, which may have lapsed; undefined elsewhere. */
  get ballot(): Ballot | undefined {
    return this.#ballot
  }

  /** Whether the key has an elected leader, and so voters. */
  isElected(key: string): boolean {
    const scope = scopeOf(this.#placement, key)
    return scope !== undefined && this.#elected.has(scope.path)
  }

  /** How what this node leads is decided; for `ReplicationStore.setDecisionTerms`. */
  decisionTerms(key: string): DecisionTerms | undefined {
    if (!this.isElected(key)) return undefined
    const ballot = this.#ballot
    const window = this.#election?.window
    if (ballot === undefined || window === undefined) return { refusal: 'nobody was elected yet' }
    const { reason } = ballot
    if (reason !== undefined) return { refusal: reason }
    if (window.token === ballot.n && window.below > window.above) return window
    return { refusal: `the lease keeps no ceiling for the stamps of grant ${ballot.n} yet` }
  }

  /** Whether this node holds the lease, right now; it may have to wait for others before it decides. */
  get leads(): boolean {
    const { url, token } = this.#note
    return url === null && this.#election?.grant === token
  }

  /** For whom changes of a key are pending; for `ReplicationStore.setLeaderOf`. */
  leaderOf(key: string): string | undefined {
    const scope = scopeOf(this.#placement, key)
    if (scope === undefined || scope.leader !== undefined) return scope?.leader
    return this.leads || !this.#elected.has(scope.path) ? undefined : UNKNOWN_LEADER
  }

  /** Serves as a follower of the leader of before, then runs for the lease. Waits for the storage only. */
  async start(lease: Lease, self: Holder): Promise<void> {
    const { store, plan, run, time, random, logger } = this.#options
    const last = decodeNote(store.meta(ROW))
    const url = last?.url ?? UNKNOWN_LEADER
    this.#voting.start()
    await store.retarget(() => {
      this.#placement = plan(url === self.url ? UNKNOWN_LEADER : url)
    })
    const term = await run(this.#placement, this.#standing(url))
    this.#term = term
    if (last?.url === null) this.#unshared = unsharedAfter(store, term.engine, last.sharedTo)
    const decision = (wanted: ElectionDecision): void => this.#want(wanted)
    this.#election = new Election({
      ...{ lease, self, time, random, logger, decision },
      seen: Math.max(last?.token ?? 0, this.#voting.n),
      remembered: { ceiling: BigInt(last?.ceiling ?? 0), voters: '' },
      mark: () => this.#mark(lease.durationMs),
      marked: (token, { voters }) => {
        if (this.#ballot?.n === token) this.#ballot.marked(voters)
      },
    })
    this.#election.start()
  }

  /** Gives up the lease once the followers have what there is, then ends everything. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.leads) await this.#drained()
    await this.#election?.close()
    this.#cancelRetry?.()
    await this.#work
    const term = this.#term
    this.#term = undefined
    this.#ballot?.end()
    await term?.stop()
    await this.#voting.stop()
  }

  /** What the lease is to keep: decisions are stamped below, until it is renewed next. */
  #mark(durationMs: number): LeaseMark {
    const { clock } = this.#options
    const above = this.#election?.window.above ?? 0n
    const latest = [clock.last, clock.physicalNs(), above].reduce((a, b) => (a > b ? a : b))
    return {
      ceiling: latest + BigInt(durationMs) * NS_PER_MS,
      voters: this.#ballot?.mark ?? '',
    }
  }

  /** @param follows URL of the leader that is followed by election. */
  #standing(follows: string | undefined): Standing {
    return { follows, voting: this.#voting, ballot: this.#ballot }
  }

  /** Begins to lead by a grant: nothing is decided before a majority of the voters has said so. */
  #makeBallot(n: number): Ballot {
    const { store, time, logger, voters } = this.#options
    this.#yielding.begin(placesInStep(store))
    return new Ballot({
      ...{ n, time, logger, voting: this.#voting, founders: voters, yielding: this.#yielding },
      marked: this.#election?.remembered.voters ?? '',
      paths: [...this.#elected],
      head: () => store.head,
      heard: (ceiling) => this.#election?.heardCeiling(ceiling),
      lapse: () => this.#lapseOf(n),
      renewSoon: () => this.#election?.renewSoon(),
    })
  }

  /** undefined: grant `n` is held, by the clock of this node. */
  #lapseOf(n: number): Lapse | undefined {
    const election = this.#election
    if (election === undefined || election.grant === n) return undefined
    const { unconfirmedSinceMs, lastError: error } = election.report()
    const nowMs = Number(this.#options.time.wallNs() / NS_PER_MS)
    return { sinceMs: unconfirmedSinceMs ?? nowMs, error: this.#yielding.reason ?? error }
  }

  #want(decision: ElectionDecision): void {
    // It changes nothing that runs, nor what is still to be carried out.
    if (decision.kind === 'lapsed') return
    this.#wanted = decision
    this.#cancelRetry?.()
    this.#work = this.#work.then(() => this.#settle())
  }

  async #settle(): Promise<void> {
    const decision = this.#wanted
    if (decision === undefined || this.#closing !== undefined) return
    try {
      await this.#carryOut(decision)
      if (this.#wanted === decision) this.#wanted = undefined
    } catch (error) {
      const { logger, time } = this.#options
      logger.error('the change of leader could not be carried out; trying again', {
        error: errorText(error),
      })
      if (this.#wanted !== decision) return
      this.#cancelRetry = time.after(RETRY_MS, () => this.#want(decision))
    }
  }

  async #carryOut(decision: Exclude<ElectionDecision, { kind: 'lapsed' }>): Promise<void> {
    const { store, plan } = this.#options
    const { token } = decision
    if (decision.kind === 'leader') {
      const isSame = this.#note.url === null && this.#note.token === token
      // What was written while it was lapsed is pending for nobody after all.
      if (isSame && this.#term !== undefined) return store.retarget(() => undefined)
      return this.#change(plan(undefined), { token, url: null })
    }
    const { url } = decision.holder
    const placement = plan(url)
    // Followed by configuration, for other scopes, is not followed by election.
    const isFollowed = placement.fingerprint === this.#placement.fingerprint
    if (!isFollowed || this.#note.url === null || this.#term === undefined) {
      return this.#change(placement, { token, url })
    }
    if (this.#note.token !== token) await this.#save({ token, url, sharedTo: 0 })
  }

  async #change(placement: Placement, decided: Omit<Note, 'sharedTo' | 'ceiling'>): Promise<void> {
    const { store, run, newId } = this.#options
    const term = this.#term
    if (this.#note.url === null) {
      // Without a term it led all the same, and shared with nobody.
      const { sharedTo } = this.#note
      const unshared = this.#unshared ?? sharedTo
      this.#unshared = term ? unsharedAfter(store, term.engine, sharedTo) : unshared
    }
    this.#term = undefined
    this.#ballot?.end()
    this.#ballot = undefined
    await term?.stop()
    const sharedTo = decided.url === null ? (this.#unshared ?? store.head) : 0
    const note: Note = { ...decided, sharedTo }
    if (note.url === null) {
      // Who leads by a grant takes part in it: what it acknowledged to leaders before, it does no more.
      await this.#voting.save({ n: note.token })
      await store.beginEpoch(`${note.token}-${newId()}`)
      this.#ballot = this.#makeBallot(note.token)
    }
    await store.retarget(() => {
      this.#placement = placement
      this.#note = note
    })
    if (note.url !== null && this.#unshared !== undefined) {
      await enqueueUnshared(store, note.url, this.#unshared)
    }
    await this.#save(note)
    this.#unshared = undefined
    if (this.#closing === undefined) {
      this.#term = await run(placement, this.#standing(note.url ?? undefined))
    }
  }

  async #save(note: Note): Promise<void> {
    this.#note = note
    const stored = { ...note, ceiling: String(this.#election?.remembered.ceiling ?? 0n) }
    await this.#options.store.saveMeta(new Map([[ROW, JSON.stringify(stored)]]))
  }

  /** Until every connected follower holds what there is now, or the time is up. */
  #drained(): Promise<void> {
    const { store, time } = this.#options
    const { head } = store
    const engine = this.#term?.engine
    if (engine === undefined) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        unsubscribe()
        resolve()
      }
      const look = (): void => {
        if (engine.followers().every(({ cursor }) => cursor >= head)) end()
      }
      const unsubscribe = engine.onProgress(look)
      const cancel = time.after(DRAIN_MS, end)
      engine.ask(head)
      look()
    })
  }
}

/**
 * Of a node that does not lead: as it has stored it.
 * @param unconfirmed why it is not known who decides; undefined: that is known.
 */
function reportOf({ name, list, isTwin }: Voting, unconfirmed: string | undefined): VotersReport {
  return {
    voters: list?.voters ?? [],
    change: list?.change ?? 0,
    ...(list?.before === undefined ? {} : { before: list.before }),
    self: name,
    decides: false,
    held: [],
    concerns: [
      ...(unconfirmed === undefined ? [] : [unconfirmed]),
      ...(isTwin
        ? [
            `another node goes by the name ${name}, that of this node: only the first counts as a voter; give each node a --name of its own`,
          ]
        : []),
    ],
  }
}

function decodeNote(text: string | undefined): Note | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as Note)
}
