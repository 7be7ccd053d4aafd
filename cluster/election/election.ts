/**
 * Runs for a lease: drives `election/state.ts` over one lease and a clock. Says where the node stands
 * whenever that changes, and at any moment whether it may decide what does not merge.
 */
import { clientTextOf, errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { CancelTimer, Random, TimeSource } from '../../src/core/ports/time.ts'
import { Confirmation, type ConfirmationReport } from './confirmation.ts'
import {
  type Holder,
  type Lease,
  type LeaseMark,
  type LeaseView,
  NO_MARK,
  type PodLabelReport,
} from './lease/lease.ts'
import {
  type ElectionDecision,
  type ElectionEffect,
  type ElectionEvent,
  type ElectionRules,
  type ElectionState,
  electionTimes,
  initialElection,
  leadsAt,
  type Question,
  stepElection,
} from './state.ts'

export interface ElectionOptions {
  readonly lease: Lease
  readonly self: Holder
  readonly time: TimeSource
  readonly random: Random
  readonly logger: Logger
  /** The greatest fencing number that an earlier life of this node heard of; 0: none. */
  readonly seen: number
  /** What an earlier life of this node heard that leaders left. Default: nothing. */
  readonly remembered?: LeaseMark
  /** What the lease is to keep, asked before each renewal. Default: nothing. */
  readonly mark?: () => LeaseMark
  /** Hears what the lease keeps for this leader of `token`. Must not throw. */
  readonly marked?: (token: number, mark: LeaseMark) => void
  /** Hears where the node stands. Must not throw. */
  readonly decision: (decision: ElectionDecision) => void
}

/** Between which stamps a leader decides, both exclusive; nanoseconds. */
export interface DecisionWindow {
  /** Fencing number of the grant. */
  readonly token: number
  readonly above: bigint
  readonly below: bigint
}

/** What people are told of the lease. */
export interface LeaseReport extends ConfirmationReport {
  /** `redis` or `kubernetes`. */
  readonly kind: string
  readonly name: string
  readonly state: ElectionState['kind']
  /** Who holds it, as last heard; undefined: nobody, or not known. */
  readonly holder: Holder | undefined
  /** Fencing number of the latest grant heard of. */
  readonly token: number
  readonly durationMs: number
  /** Grants and losses of this node, and questions that had no answer, since it started. */
  readonly gained: number
  readonly lost: number
  readonly failures: number
  /** Why the last question had no answer; undefined when it had one. */
  readonly lastError: string | undefined
  /** Of the label of this node's pod; absent where pods are not labelled. */
  readonly podLabel?: PodLabelReport
}

export class Election {
  readonly #options: ElectionOptions
  readonly #rules: ElectionRules
  #state: ElectionState
  #wake: CancelTimer | undefined
  #watch: CancelTimer | undefined
  /** The question under way, and what it leads to. */
  #asking: Promise<void> = Promise.resolve()
  #holder: Holder | undefined
  /** As people are told it: without the address of the lease. */
  #lastError: string | undefined
  #lastLogged: string | undefined
  #counts = { gained: 0, lost: 0, failures: 0 }
  #closing: Promise<void> | undefined
  /** What leaders left, as far as heard. */
  #remembered: LeaseMark
  /** Between which stamps decisions of the latest grant of this node are. */
  #window: DecisionWindow = { token: 0, above: 0n, below: 0n }
  /** The latest grant heard of, and the ceiling that was known then. */
  #before = { token: 0, ceiling: 0n }
  readonly #confirmation: Confirmation
  #isAsking = false
  /** The next renewal is not to wait. */
  #isHurried = false

  constructor(options: ElectionOptions) {
    this.#options = options
    this.#rules = { times: electionTimes(options.lease.durationMs), self: options.self }
    this.#state = initialElection(options.seen)
    this.#remembered = options.remembered ?? NO_MARK
    this.#confirmation = new Confirmation(options.time, this.#rules.times)
  }

  start(): void {
    this.#options.lease.stands?.(false)
    this.#dispatch({ type: 'wake', nowNs: this.#now() })
  }

  /** Whether this node may decide what does not merge, right now by its own monotonic clock. */
  get leads(): boolean {
    return leadsAt(this.#state, this.#now())
  }

  /** The fencing number under which it may; undefined when it may not. */
  get grant(): number | undefined {
    const state = this.#state
    return state.kind === 'leader' && this.leads ? state.seen : undefined
  }

  /** Between which stamps it may decide under that number; none are before the lease keeps a ceiling. */
  get window(): DecisionWindow {
    return this.#window
  }

  /** A voter knows that leaders before this one may have decided with stamps up to here. */
  heardCeiling(ceiling: bigint): void {
    const { below, above } = this.#window
    if (ceiling <= above) return
    this.#window = { ...this.#window, above: ceiling }
    if (below <= ceiling) this.renewSoon()
  }

  /** The greatest ceiling heard of before anything was heard of grant `n`. */
  ceilingBefore(n: number): bigint {
    return this.#before.token === n ? this.#before.ceiling : this.#remembered.ceiling
  }

  /** What leaders left to the next, as far as this node has heard. */
  get remembered(): LeaseMark {
    return this.#remembered
  }

  /** Has the lease keep the mark of now without waiting for the next renewal. */
  renewSoon(): void {
    if (this.#state.kind !== 'leader') return
    this.#isHurried = true
    if (!this.#isAsking) this.#wakeIn(0)
  }

  /** Gives the lease up for another node. @returns until when this one does not take it; monotonic. */
  yieldLease(): bigint {
    const nowNs = this.#now()
    this.#dispatch({ type: 'yield', nowNs })
    const state = this.#state
    return state.kind === 'yielding' ? state.untilNs : nowNs
  }

  report(): LeaseReport {
    const state = this.#state
    const { kind, name, durationMs } = this.#options.lease
    const wasGranted = state.kind === 'leader'
    const podLabel = this.#options.lease.podLabel?.()
    const isDecided = !['candidate', 'yielding', 'closed'].includes(state.kind)
    return {
      kind,
      name,
      // By its own clock its time may be up before anything else has noticed.
      state: wasGranted && !this.leads ? 'demoting' : state.kind,
      holder: wasGranted ? this.#options.self : this.#holder,
      token: state.kind === 'closed' ? 0 : state.seen,
      ...(isDecided ? this.#confirmation.report() : { validForMs: 0 }),
      durationMs,
      ...this.#counts,
      lastError: this.#lastError,
      ...(podLabel === undefined ? {} : { podLabel }),
    }
  }

  /** Gives the lease up, so that another node can take it at once. Never rejects. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#wake?.()
    this.#watch?.()
    this.#dispatch({ type: 'close' })
    this.#options.lease.stands?.(false)
    let asking: Promise<void>
    do {
      asking = this.#asking
      await asking
      // A grant that was answered last is given back in turn.
    } while (asking !== this.#asking)
    try {
      await this.#options.lease.close()
    } catch (error) {
      this.#options.logger.debug('the lease could not be closed', { error: errorText(error) })
    }
  }

  #dispatch(event: ElectionEvent): void {
    const { state, effects } = stepElection(this.#state, event, this.#rules)
    this.#state = state
    for (const effect of effects) this.#run(effect)
  }

  #run(effect: ElectionEffect): void {
    const { time, random } = this.#options
    switch (effect.type) {
      case 'ask':
        this.#isAsking = true
        this.#then(() => this.#ask(effect.question, effect.token))
        break
      case 'wake': {
        const { afterMs, isJittered } = effect
        const delayMs = isJittered ? (afterMs * (1 + random())) / 2 : afterMs
        this.#wakeIn(this.#isHurried ? 0 : delayMs)
        break
      }
      case 'watch':
        this.#watch?.()
        this.#watch = time.after(Math.ceil(this.#msUntil(effect.untilNs)), () =>
          this.#dispatch({ type: 'lapse', nowNs: this.#now() }),
        )
        break
      case 'decision':
        this.#note(effect.decision)
        this.#options.lease.stands?.(effect.decision.kind === 'leader')
        this.#options.decision(effect.decision)
        break
      case 'release':
        this.#then(() => this.#release(effect.token))
        break
    }
  }

  #wakeIn(delayMs: number): void {
    this.#wake?.()
    this.#wake = this.#options.time.after(delayMs, () =>
      this.#dispatch({ type: 'wake', nowNs: this.#now() }),
    )
  }

  /** One thing after the other; none of them rejects. */
  #then(work: () => Promise<void>): void {
    this.#asking = this.#asking.then(work)
  }

  async #ask(asked: Question, token: number): Promise<void> {
    const { lease } = this.#options
    const sentNs = this.#now()
    if (asked === 'renew') this.#isHurried = false
    const mark = asked === 'renew' ? this.#markFor(token) : NO_MARK
    const questions: Readonly<Record<Question, () => Promise<LeaseView>>> = {
      look: () => lease.look(),
      take: () => lease.take(token),
      claim: () => lease.claim(token),
      renew: () => lease.renew(token, mark),
    }
    try {
      const view = await this.#inTime(questions[asked])
      this.#lastError = undefined
      this.#lastLogged = undefined
      this.#isAsking = false
      this.#heard(view)
      const isNews = this.#state.kind === 'closed' || this.#state.seen !== view.token
      this.#confirmation.heard(view, sentNs, isNews)
      this.#marked(asked, view, mark)
      this.#dispatch({ type: 'answered', asked, view, sentNs, nowNs: this.#now() })
    } catch (error) {
      this.#isAsking = false
      this.#failed(error)
      this.#dispatch({ type: 'failed' })
    }
  }

  async #release(token: number): Promise<void> {
    const { lease, logger } = this.#options
    try {
      await this.#inTime(() => lease.release(token))
      logger.info('gave up the lease', { lease: lease.name, token })
    } catch (error) {
      logger.warn('the lease could not be given up: it has to lapse', { error: errorText(error) })
    }
  }

  /** What the question resolves to, or an error when that takes too long. */
  #inTime<T>(question: () => Promise<T>): Promise<T> {
    const { timeoutMs } = this.#rules.times
    return new Promise((resolve, reject) => {
      const cancel = this.#options.time.after(timeoutMs, () =>
        reject(new Error(`no answer within ${timeoutMs} ms`)),
      )
      question().then(resolve, reject).finally(cancel)
    })
  }

  /** What the lease is to keep for a grant: nothing that was given to a later or earlier one. */
  #markFor(token: number): LeaseMark {
    const mark = this.#options.mark?.() ?? NO_MARK
    const { below } = this.#window.token === token ? this.#window : { below: 0n }
    return { ...mark, ceiling: mark.ceiling > below ? mark.ceiling : below }
  }

  /** Begins the window of a new grant above what the leaders before left, or raises its end. */
  #marked(asked: Question, view: LeaseView, mark: LeaseMark): void {
    const { token, isMine } = view
    if (!isMine) return
    if (token !== this.#window.token) {
      this.#window = { token, above: this.#remembered.ceiling, below: 0n }
      return
    }
    if (asked !== 'renew') return
    this.#window = { ...this.#window, below: mark.ceiling }
    this.#remembered = { ...this.#remembered, ceiling: max(this.#remembered.ceiling, mark.ceiling) }
    this.#options.marked?.(token, mark)
  }

  #heard({ holder, isMine, mark, token }: LeaseView): void {
    const { self, logger } = this.#options
    const { ceiling, voters } = this.#remembered
    if (token > this.#before.token) this.#before = { token, ceiling }
    this.#remembered = {
      ceiling: max(ceiling, mark.ceiling),
      voters: mark.voters === '' ? voters : mark.voters,
    }
    const isTwin = holder !== undefined && !isMine && holder.url === self.url
    if (isTwin && holder.url !== this.#holder?.url) {
      logger.warn('the lease is held under the address of this node, which is not the holder', {
        url: self.url,
        holder: holder.id,
      })
    }
    this.#holder = holder
  }

  #failed(error: unknown): void {
    this.#counts.failures++
    const text = errorText(error)
    if (text !== this.#lastLogged) {
      const { lease, logger } = this.#options
      logger.warn('the lease gives no answer', { kind: lease.kind, name: lease.name, error: text })
    }
    this.#lastLogged = text
    this.#lastError = clientTextOf(error)
  }

  #note(decision: ElectionDecision): void {
    const { lease, logger } = this.#options
    const { token } = decision
    if (decision.kind === 'leader') {
      this.#counts.gained++
      logger.info('leads by the lease', { lease: lease.name, token })
    } else if (decision.kind === 'lapsed') {
      this.#counts.lost++
      logger.warn('the lease has lapsed: nothing is decided here until it is known who leads', {
        lease: lease.name,
        token,
      })
    } else {
      logger.info('another node leads', { leader: decision.holder.url, token })
    }
  }

  #now(): bigint {
    return this.#options.time.monotonicNs()
  }

  #msUntil(untilNs: bigint): number {
    return Number(untilNs - this.#now()) / 1e6
  }
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
