/**
 * Carries out what an election decides, on an open store: the engine of one placement is stopped, what is
 * owed is addressed to the new leader, and the engine of the next placement is started. Reads, writes and
 * subscriptions go on meanwhile.
 *
 * The order of a change: the engine stops; a node that is to lead begins an epoch of its log, whose id
 * begins with the fencing number, so that what it decides is of that epoch from the first write on; the
 * store answers to the new placement; what this node wrote as a leader and no follower has got becomes
 * owed to the new leader; what was decided is noted; the engine starts.
 *
 * A leader whose lease has lapsed goes on serving its followers, since what they exchange merges; what does
 * not merge is refused (`leaderOf` says that another node leads), and what it writes is owed to whoever
 * leads next.
 */
import { errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/logger.ts'
import type { CancelTimer, Random, TimeSource } from '../../src/core/time.ts'
import type { Store } from '../../src/store/store.ts'
import type { ClusterEngine } from '../engine.ts'
import { type Placement, scopeOf } from '../placement.ts'
import { Election, type LeaseReport } from './election.ts'
import type { Office } from './election-state.ts'
import type { Holder, Lease } from './lease.ts'
import { NOBODY } from './nobody.ts'
import { oweUnshared, unsharedAfter } from './unshared.ts'

/** What runs under one placement. */
export interface Reign {
  readonly engine: Pick<ClusterEngine, 'followers' | 'status' | 'onProgress' | 'ask'>
  stop(): Promise<void>
}

export interface SuccessionOptions<R extends Reign> {
  /** Opened with `setLeaderOf` told `leaderOf` of this succession, before `start`. */
  readonly store: Store
  /** The placement when this URL leads; undefined: when this node does. */
  readonly plan: (leader: string | undefined) => Placement
  /** Starts what runs under a placement. */
  readonly run: (placement: Placement) => Promise<R>
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
}

const ROW = 'lease'
/** Before what failed is tried again, milliseconds. */
const RETRY_MS = 1000
/** A leader that stops waits so long at most for its followers to have everything, milliseconds. */
const DRAIN_MS = 1000

export class Succession<R extends Reign> {
  readonly #options: SuccessionOptions<R>
  /** Paths whose leader is elected. */
  readonly #elected: ReadonlySet<string>
  #placement: Placement
  #reign: R | undefined
  #election: Election | undefined
  #note: Note = { token: 0, url: NOBODY, sharedTo: 0 }
  /** After this seq, what this node led is not known to be anywhere else; undefined: all is, or is owed. */
  #unshared: number | undefined
  /** The office that is not carried out yet. */
  #wanted: Exclude<Office, { kind: 'lapsed' }> | undefined
  #work: Promise<void> = Promise.resolve()
  #cancelRetry: CancelTimer | undefined
  #closing: Promise<void> | undefined

  constructor(options: SuccessionOptions<R>) {
    this.#options = options
    this.#placement = options.plan(NOBODY)
    const elected = this.#placement.scopes.filter(({ leader }) => leader === NOBODY)
    this.#elected = new Set(elected.map(({ path }) => path))
  }

  /** The present one. */
  get placement(): Placement {
    return this.#placement
  }

  /** What runs; undefined during a change, and before and after everything. */
  get reign(): R | undefined {
    return this.#reign
  }

  /** undefined before the start. */
  report(): LeaseReport | undefined {
    return this.#election?.report()
  }

  /** Whether this node may decide what does not merge, right now. */
  get leads(): boolean {
    const { url, token } = this.#note
    return url === null && this.#election?.grant === token
  }

  /** Whom changes of a key are owed to; for `Store.setLeaderOf`. */
  leaderOf(key: string): string | undefined {
    const scope = scopeOf(this.#placement, key)
    if (scope === undefined || scope.leader !== undefined) return scope?.leader
    return this.leads || !this.#elected.has(scope.path) ? undefined : NOBODY
  }

  /** Serves as a follower of the leader of before, then runs for the lease. Waits for the storage only. */
  async start(lease: Lease, self: Holder): Promise<void> {
    const { store, plan, run, ...parts } = this.#options
    const last = decodeNote(store.meta(ROW))
    const url = last?.url ?? NOBODY
    await store.redirect(() => {
      this.#placement = plan(url === self.url ? NOBODY : url)
    })
    const reign = await run(this.#placement)
    this.#reign = reign
    if (last?.url === null) this.#unshared = unsharedAfter(store, reign.engine, last.sharedTo)
    const office = (wanted: Office): void => this.#want(wanted)
    this.#election = new Election({ ...parts, lease, self, office, seen: last?.token ?? 0 })
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
    const reign = this.#reign
    this.#reign = undefined
    await reign?.stop()
  }

  #want(office: Office): void {
    // It changes nothing that runs, nor what is still to be carried out.
    if (office.kind === 'lapsed') return
    this.#wanted = office
    this.#cancelRetry?.()
    this.#work = this.#work.then(() => this.#settle())
  }

  async #settle(): Promise<void> {
    const office = this.#wanted
    if (office === undefined || this.#closing !== undefined) return
    try {
      await this.#carryOut(office)
      if (this.#wanted === office) this.#wanted = undefined
    } catch (error) {
      const { logger, time } = this.#options
      logger.error('the change of leader could not be carried out; trying again', {
        error: errorText(error),
      })
      if (this.#wanted !== office) return
      this.#cancelRetry = time.after(RETRY_MS, () => this.#want(office))
    }
  }

  async #carryOut(office: Exclude<Office, { kind: 'lapsed' }>): Promise<void> {
    const { store, plan } = this.#options
    const { token } = office
    if (office.kind === 'leader') {
      const isSame = this.#note.url === null && this.#note.token === token
      // What was written while it was lapsed is owed to nobody after all.
      if (isSame && this.#reign !== undefined) return store.redirect(() => undefined)
      return this.#change(plan(undefined), { token, url: null })
    }
    const { url } = office.holder
    const placement = plan(url)
    // Followed by configuration, for other scopes, is not followed by election.
    const isFollowed = placement.fingerprint === this.#placement.fingerprint
    if (!isFollowed || this.#note.url === null || this.#reign === undefined) {
      return this.#change(placement, { token, url })
    }
    if (this.#note.token !== token) await this.#save({ token, url, sharedTo: 0 })
  }

  async #change(placement: Placement, decided: Omit<Note, 'sharedTo'>): Promise<void> {
    const { store, run, newId } = this.#options
    const reign = this.#reign
    if (this.#note.url === null) {
      // Without a reign it led all the same, and shared with nobody.
      const { sharedTo } = this.#note
      const unshared = this.#unshared ?? sharedTo
      this.#unshared = reign ? unsharedAfter(store, reign.engine, sharedTo) : unshared
    }
    this.#reign = undefined
    await reign?.stop()
    const sharedTo = decided.url === null ? (this.#unshared ?? store.head) : 0
    const note: Note = { ...decided, sharedTo }
    if (note.url === null) await store.beginEpoch(`${note.token}-${newId()}`)
    await store.redirect(() => {
      this.#placement = placement
      this.#note = note
    })
    if (note.url !== null && this.#unshared !== undefined) {
      await oweUnshared(store, note.url, this.#unshared)
    }
    await this.#save(note)
    this.#unshared = undefined
    if (this.#closing === undefined) this.#reign = await run(placement)
  }

  async #save(note: Note): Promise<void> {
    this.#note = note
    await this.#options.store.saveMeta(new Map([[ROW, JSON.stringify(note)]]))
  }

  /** Until every connected follower holds what there is now, or the time is up. */
  #drained(): Promise<void> {
    const { store, time } = this.#options
    const { head } = store
    const engine = this.#reign?.engine
    if (engine === undefined) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        unhear()
        resolve()
      }
      const look = (): void => {
        if (engine.followers().every(({ cursor }) => cursor >= head)) end()
      }
      const unhear = engine.onProgress(look)
      const cancel = time.after(DRAIN_MS, end)
      engine.ask(head)
      look()
    })
  }
}

function decodeNote(text: string | undefined): Note | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as Note)
}
