/**
 * Who leads, as one candidate for a lease sees it: a pure machine.
 *
 * ```
 *  unknown ──heard──► candidate ◄──free, lapsed── follower
 *     │                │     ▲                     ▲   ▲
 *     │             granted  └─ lost, free ─┐      │   │
 *     │                ▼                    │    held by another
 *     └──granted───► leader ──lapsed──► demoting ──┘   │
 *                      │   ◄──renewed──                │
 *                      └───────────── lost ────────────┘          any ──close──► closed
 *
 *  leader, demoting ──yield──► yielding ──held by another──► follower
 *                                 └──────time is over──────► candidate
 * ```
 *
 * A leader counts the time of its grant on its own monotonic clock from before it asked, and for a part of
 * the lease's duration only, so it has stopped believing before anybody else can be granted the lease: as
 * long as no clock is slower than the margin allows. `demoting` is a leader that had to stop believing and
 * does not know of another yet: it goes on serving, and decides nothing that does not merge. `yielding` is one that
 * has given its grant up for another node: it looks who holds the lease, and does not take it for a while.
 *
 * Exactly one thing is awaited at any time: the answer to the one question under way, or the next `wake`.
 */
import { NS_PER_MS } from '../../src/core/ports/time.ts'
import type { Holder, LeaseView } from './lease/lease.ts'

/** All in milliseconds. */
export interface ElectionTimes {
  readonly durationMs: number
  /** For so long after it asked, a leader believes in its grant. */
  readonly validMs: number
  /** Between two renewals. */
  readonly renewMs: number
  /** Between two looks of the others, at most. */
  readonly pollMs: number
  /** After a failed renewal. */
  readonly retryMs: number
  /** For so long a node that yields leaves the lease to others. */
  readonly yieldMs: number
  /** A question without an answer has failed. */
  readonly timeoutMs: number
}

/** What each is, as a part of the duration of the lease: of 5 s, a leader believes for 3.75 s and renews every second. */
export function electionTimes(durationMs: number): ElectionTimes {
  return {
    durationMs,
    validMs: durationMs * 0.75,
    renewMs: durationMs / 5,
    pollMs: durationMs / 10,
    retryMs: durationMs / 20,
    yieldMs: durationMs * 2,
    timeoutMs: durationMs * 0.3,
  }
}

interface Known {
  /** The greatest fencing number heard of. */
  readonly seen: number
  /** Until then, on the own monotonic clock, the holder of `seen` may hold the lease; nanoseconds. */
  readonly heldUntilNs: bigint
}

export type ElectionState =
  /** Nothing was heard of the lease yet. */
  | ({ readonly kind: 'unknown' } & Known)
  /** Nobody holds it, as far as known; or one who can not be followed does. `forgot`: see `forgetful`. */
  | ({ readonly kind: 'candidate'; readonly forgot: boolean } & Known)
  | ({ readonly kind: 'follower'; readonly holder: Holder } & Known)
  | ({ readonly kind: 'leader'; readonly validUntilNs: bigint } & Known)
  | ({ readonly kind: 'demoting' } & Known)
  | ({ readonly kind: 'yielding'; readonly untilNs: bigint } & Known)
  | { readonly kind: 'closed' }

export type Question = 'look' | 'take' | 'claim' | 'renew'

export type ElectionEvent =
  /** It is time for the next question. */
  | { readonly type: 'wake'; readonly nowNs: bigint }
  | {
      readonly type: 'answered'
      readonly asked: Question
      readonly view: LeaseView
      /** When it was asked, and now; monotonic. */
      readonly sentNs: bigint
      readonly nowNs: bigint
    }
  /** The question had no answer. */
  | { readonly type: 'failed' }
  /** The time that was to be watched has come. */
  | { readonly type: 'lapse'; readonly nowNs: bigint }
  /** Another node is to lead. */
  | { readonly type: 'yield'; readonly nowNs: bigint }
  | { readonly type: 'close' }

/** Where a node stands. */
export type ElectionDecision =
  | { readonly kind: 'leader'; readonly token: number }
  /** A leader that may not believe so any more; the last decision before it stays as it is. */
  | { readonly kind: 'lapsed'; readonly token: number }
  | { readonly kind: 'follower'; readonly token: number; readonly holder: Holder }

export type ElectionEffect =
  /** `token`: of `renew` the one held, of `take` and `claim` the one to exceed. */
  | { readonly type: 'ask'; readonly question: Question; readonly token: number }
  /** Wake in so many milliseconds; jittered: somewhere in the second half of it. */
  | { readonly type: 'wake'; readonly afterMs: number; readonly isJittered: boolean }
  /** Tell when this time has come, instead of any time watched before. */
  | { readonly type: 'watch'; readonly untilNs: bigint }
  | { readonly type: 'decision'; readonly decision: ElectionDecision }
  | { readonly type: 'release'; readonly token: number }

export interface ElectionStep {
  readonly state: ElectionState
  readonly effects: readonly ElectionEffect[]
}

export interface ElectionRules {
  readonly times: ElectionTimes
  readonly self: Holder
}

type Open = Exclude<ElectionState, { kind: 'closed' }>
type Answered = Extract<ElectionEvent, { type: 'answered' }>

/** @param seen the greatest fencing number that an earlier life of this node heard of; 0: none. */
export function initialElection(seen: number): ElectionState {
  return { kind: 'unknown', seen, heldUntilNs: 0n }
}

/** Whether this node may decide what does not merge. */
export function leadsAt(state: ElectionState, nowNs: bigint): boolean {
  return state.kind === 'leader' && nowNs < state.validUntilNs
}

export function stepElection(
  state: ElectionState,
  event: ElectionEvent,
  rules: ElectionRules,
): ElectionStep {
  if (state.kind === 'closed') return afterClose(state, event)
  switch (event.type) {
    case 'wake':
      return { state, effects: [nextQuestion(state, event.nowNs)] }
    case 'answered':
      return answered(state, event, rules)
    case 'failed': {
      if (isHolding(state)) return { state, effects: [wakeIn(rules.times.retryMs)] }
      // What happened to the lease while it was out of reach, nobody knows.
      const next = state.kind === 'candidate' ? { ...state, forgot: false } : state
      return { state: next, effects: [poll(rules)] }
    }
    case 'lapse':
      return lapse(state, event.nowNs)
    case 'yield':
      return giveUp(state, event.nowNs, rules)
    case 'close':
      return { state: { kind: 'closed' }, effects: isHolding(state) ? [release(state.seen)] : [] }
  }
}

/** A grant that comes after all is given back. */
function afterClose(state: ElectionState, event: ElectionEvent): ElectionStep {
  const isGrant = event.type === 'answered' && event.asked !== 'look' && event.view.isMine
  return { state, effects: isGrant ? [release(event.view.token)] : [] }
}

function nextQuestion(state: Open, nowNs: bigint): ElectionEffect {
  const { seen, heldUntilNs } = state
  if (isHolding(state)) return { type: 'ask', question: 'renew', token: seen }
  if (state.kind === 'unknown' || nowNs < heldUntilNs || isYielding(state, nowNs)) {
    return { type: 'ask', question: 'look', token: seen }
  }
  const isForgotten = state.kind === 'candidate' && state.forgot
  return { type: 'ask', question: isForgotten ? 'claim' : 'take', token: seen }
}

function lapse(state: Open, nowNs: bigint): ElectionStep {
  if (state.kind !== 'leader') return { state, effects: [] }
  const { validUntilNs, seen, heldUntilNs } = state
  if (nowNs < validUntilNs) return { state, effects: [{ type: 'watch', untilNs: validUntilNs }] }
  return { state: { kind: 'demoting', seen, heldUntilNs }, effects: [lapsed(seen)] }
}

function giveUp(state: Open, nowNs: bigint, rules: ElectionRules): ElectionStep {
  if (!isHolding(state)) return { state, effects: [] }
  const { seen } = state
  const untilNs = nowNs + ns(rules.times.yieldMs)
  return {
    state: { kind: 'yielding', seen, heldUntilNs: nowNs, untilNs },
    effects: [...(state.kind === 'leader' ? [lapsed(seen)] : []), release(seen), poll(rules)],
  }
}

/** Whether it leaves the lease to others at this time. */
function isYielding(state: Open, nowNs: bigint): boolean {
  return state.kind === 'yielding' && nowNs < state.untilNs
}

function answered(state: Open, event: Answered, rules: ElectionRules): ElectionStep {
  const { view } = event
  if (view.isMine && view.token >= state.seen) {
    if (!isYielding(state, event.nowNs)) return mine(state, event, rules)
    // It was not given up yet, or that request was lost.
    return { state, effects: [release(view.token), poll(rules)] }
  }
  const lost = state.kind === 'leader' ? [lapsed(state.seen)] : []
  const before: Exclude<Open, { kind: 'leader' }> =
    state.kind === 'leader'
      ? { kind: 'demoting', seen: state.seen, heldUntilNs: state.heldUntilNs }
      : state
  const step =
    view.token < state.seen ? forgetful(before, event, rules) : news(before, event, rules)
  return { state: step.state, effects: [...lost, ...step.effects] }
}

function mine(state: Open, event: Answered, { times }: ElectionRules): ElectionStep {
  const { asked, view, sentNs, nowNs } = event
  const { token: seen } = view
  // Held without having been granted it, as far as this node knows: an answer was lost.
  if (asked === 'look') {
    return { state, effects: [{ type: 'ask', question: 'take', token: state.seen }] }
  }
  const validUntilNs = sentNs + ns(times.validMs)
  const heldUntilNs = nowNs + ns(times.durationMs)
  if (validUntilNs <= nowNs) {
    const wasLeader = state.kind === 'leader'
    return {
      state: { kind: 'demoting', seen, heldUntilNs },
      effects: [...(wasLeader ? [lapsed(state.seen)] : []), wakeIn(times.retryMs)],
    }
  }
  const isNews = state.kind !== 'leader' || state.seen !== seen
  return {
    state: { kind: 'leader', seen, heldUntilNs, validUntilNs },
    effects: [
      { type: 'watch', untilNs: validUntilNs },
      ...(isNews ? [decision({ kind: 'leader', token: seen })] : []),
      // A new leader has no ceiling for its decisions before its first renewal.
      wakeIn(isNews ? 0 : times.renewMs),
    ],
  }
}

/**
 * The lease does not know of a grant that this node has heard of: it lost its memory. Whoever was granted
 * it may believe in that for the length of a lease; then it is taken with a number above all.
 */
function forgetful(
  state: Exclude<Open, { kind: 'leader' }>,
  { nowNs }: Answered,
  rules: ElectionRules,
): ElectionStep {
  const isWaiting = state.kind === 'demoting' || (state.kind === 'candidate' && state.forgot)
  if (isWaiting) return { state, effects: [poll(rules)] }
  const heldUntilNs = nowNs + ns(rules.times.durationMs)
  const { seen } = state
  return {
    state: { kind: 'candidate', forgot: true, seen, heldUntilNs },
    effects: [poll(rules)],
  }
}

function news(
  state: Exclude<Open, { kind: 'leader' }>,
  { asked, view, nowNs }: Answered,
  rules: ElectionRules,
): ElectionStep {
  const { holder, token: seen, heldForMs } = view
  const { self } = rules
  const heldUntilNs = nowNs + ns(heldForMs)
  const take: ElectionEffect = { type: 'ask', question: 'take', token: seen }
  const isElse = holder !== undefined && holder.url !== self.url && holder.url !== ''
  if (isYielding(state, nowNs) && !isElse) {
    return { state: { ...state, seen, heldUntilNs }, effects: [poll(rules)] }
  }
  if (holder === undefined) {
    const effect = asked === 'take' || asked === 'claim' ? poll(rules) : take
    return {
      state: { kind: 'candidate', forgot: false, seen, heldUntilNs: nowNs },
      effects: [effect],
    }
  }
  if (holder.url === self.url || holder.url === '') {
    // An earlier life of this node, another node by the same address, or no node of ours. One with this id at
    // another address may run from a copy of this node's data: it is followed, and tells.
    const isOwnPast = state.kind === 'unknown' && holder.id === self.id
    const effects = [isOwnPast ? take : poll(rules)]
    return { state: { kind: 'candidate', forgot: false, seen, heldUntilNs }, effects }
  }
  const isKnown =
    state.kind === 'follower' && state.seen === seen && sameHolder(state.holder, holder)
  const moved = isKnown ? [] : [decision({ kind: 'follower', token: seen, holder })]
  return {
    state: { kind: 'follower', holder, seen, heldUntilNs },
    effects: [...moved, poll(rules)],
  }
}

function isHolding(state: Open): boolean {
  return state.kind === 'leader' || state.kind === 'demoting'
}

function sameHolder(a: Holder, b: Holder): boolean {
  return a.id === b.id && a.url === b.url
}

const ns = (ms: number): bigint => BigInt(Math.round(ms)) * NS_PER_MS

const decision = (made: ElectionDecision): ElectionEffect => ({ type: 'decision', decision: made })
const lapsed = (token: number): ElectionEffect => decision({ kind: 'lapsed', token })
const release = (token: number): ElectionEffect => ({ type: 'release', token })
const wakeIn = (afterMs: number): ElectionEffect => ({ type: 'wake', afterMs, isJittered: false })
const poll = ({ times }: ElectionRules): ElectionEffect => ({
  type: 'wake',
  afterMs: times.pollMs,
  isJittered: true,
})
