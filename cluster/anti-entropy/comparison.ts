/**
 * A follower's comparison with its leader, set of keys by set of keys: a pure machine inside
 * `follower/state/state.ts`, which see for the driver.
 *
 * ```
 *  asking ──told: more to ask──▶ asking
 *     │
 *     └──told: the walk ended──▶ hashing ──hashed──▶ receiving ──took the last──┐
 *                                   ▲                                           │
 *                                   └────────────── next portion ───────────────┤
 *  next set: asking ◀──────────────────────────────────────── no portion left ──┘
 * ```
 * States with nothing to do are passed through at once.
 *
 * Invariants, checked by `test/quick/cluster/anti-entropy/comparison-machine.test.ts`:
 * 1. One question or exchange is under way at a time, and each has a number of its own.
 * 2. A part is acknowledged when it is durable, and the next portion asked for after the last.
 * 3. A comparison ends when all its sets are done; a reply that was not asked for is a violation.
 */
import type { ComparisonMessage, Found, KeySet } from '../../src/core/wire/comparison.ts'
import { HASH_DIGITS } from '../../src/core/wire/comparison.ts'
import type { ClusterLimits } from '../config/options.ts'
import {
  askNext,
  cutHashes,
  learn,
  type Portion,
  portions,
  startWalk,
  type Walk,
} from './anti-entropy.ts'
import type { ComparisonEffect, ComparisonEvent, Tally } from './comparison-events.ts'

interface Portions {
  /** The present one first. */
  readonly left: readonly Portion[]
}

type Phase =
  | { readonly kind: 'asking'; readonly walk: Walk }
  | ({ readonly kind: 'hashing'; readonly after: number } & Portions)
  /** `part` is the number of the last part that came. */
  | ({ readonly kind: 'receiving'; readonly part: number; readonly ended: boolean } & Portions)

export interface Comparison {
  /** Sets not done yet; the present one first. */
  readonly sets: readonly KeySet[]
  /** Whether it is the first comparison with a log. */
  readonly isFirst: boolean
  /** Number of the latest question or exchange. */
  readonly n: number
  readonly phase: Phase
  readonly tally: Tally
}

export interface ComparisonStep {
  /** undefined when the leader broke the protocol. */
  readonly comparison: Comparison | undefined
  readonly effects: readonly ComparisonEffect[]
}

export interface ComparisonContext {
  readonly limits: ClusterLimits
  /** Seq of the leader's log up to which this node has applied it. */
  readonly applied: number
}

/** Text of one digest in a message, roughly. */
const DIGEST_BYTES = 24

/** Begins to compare these sets. @param n number of the latest question on this connection. */
export function beginComparison(
  sets: readonly KeySet[],
  isFirst: boolean,
  n: number,
  context: ComparisonContext,
): ComparisonStep {
  const tally: Tally = {
    sets: sets.length,
    done: 0,
    differing: 0,
    received: 0,
    applied: 0,
    pending: 0,
  }
  const walk = startWalk(isFirst)
  return ask({ sets, isFirst, n, phase: { kind: 'asking', walk }, tally }, walk, context)
}

/** Whether all sets are done. */
export function hasEnded({ sets }: Comparison): boolean {
  return sets.length === 0
}

export function stepComparison(
  comparison: Comparison,
  event: ComparisonEvent,
  context: ComparisonContext,
): ComparisonStep {
  const { phase } = comparison
  if (event.type === 'found') return receive(comparison, event.message)
  if (event.n !== comparison.n) return { comparison: undefined, effects: [] }
  switch (event.type) {
    case 'digestsReceived':
      if (phase.kind !== 'asking' || event.theirs.length !== phase.walk.asked.length) break
      return walkOn(comparison, learn(phase.walk, event.theirs, event.ours), context)
    case 'hashed':
      if (phase.kind !== 'hashing') break
      return offer(comparison, phase, event.hashes, context)
    case 'took':
      if (phase.kind !== 'receiving') break
      return took(comparison, phase, event, context)
  }
  return { comparison: undefined, effects: [] }
}

function ask(comparison: Comparison, walk: Walk, context: ComparisonContext): ComparisonStep {
  const [set] = comparison.sets
  if (set === undefined) return { comparison, effects: [] }
  const limit = Math.max(16, Math.floor(context.limits.messageBytes / DIGEST_BYTES))
  const asking = askNext(walk, Math.min(limit, MAX_ASKED))
  const n = comparison.n + 1
  return {
    comparison: { ...comparison, n, phase: { kind: 'asking', walk: asking } },
    effects: [{ type: 'ask', n, set, nodes: asking.asked }],
  }
}

/** Nodes in one question at most. */
const MAX_ASKED = 1024

function walkOn(comparison: Comparison, walk: Walk, context: ComparisonContext): ComparisonStep {
  if (walk.unasked.length > 0) return ask(comparison, walk, context)
  const left = portions(walk)
  const { tally } = comparison
  const differing = tally.differing + (left.length > 0 ? 1 : 0)
  return nextPortion({ ...comparison, tally: { ...tally, differing } }, left, context)
}

/** Begins an exchange over the first of the portions, or goes on to the next set. */
function nextPortion(
  comparison: Comparison,
  left: Portions['left'],
  context: ComparisonContext,
): ComparisonStep {
  const [set, ...sets] = comparison.sets
  const [portion] = left
  if (portion === undefined || set === undefined) {
    const tally = { ...comparison.tally, done: comparison.tally.done + 1 }
    return ask({ ...comparison, sets, tally }, startWalk(comparison.isFirst), context)
  }
  const n = comparison.n + 1
  // Noted before the hashes are read: what is applied meanwhile is no difference to be repaired.
  const phase = { kind: 'hashing', left, after: context.applied } as const
  const next = { ...comparison, n, phase }
  if (portion.sends === 'all') return offer(next, phase, '', context)
  return { comparison: next, effects: [{ type: 'hash', n, set, nodes: portion.nodes }] }
}

function offer(
  comparison: Comparison,
  { left, after }: Extract<Phase, { kind: 'hashing' }>,
  hashes: string,
  { limits }: ComparisonContext,
): ComparisonStep {
  const { n } = comparison
  const [set] = comparison.sets
  const nodes = left[0]?.nodes
  if (set === undefined || nodes === undefined) return { comparison: undefined, effects: [] }
  const parts = cutHashes(hashes, HASH_DIGITS, limits.messageBytes)
  const messages: ComparisonMessage[] = [
    { t: 'want', n, set, nodes, after, parts: parts.length },
    ...parts.map((part): ComparisonMessage => ({ t: 'have', n, hashes: part })),
  ]
  return {
    comparison: { ...comparison, phase: { kind: 'receiving', left, part: 0, ended: false } },
    effects: messages.map((message) => ({ type: 'send', message })),
  }
}

function receive(comparison: Comparison, message: Found): ComparisonStep {
  const { phase, tally } = comparison
  const [set] = comparison.sets
  const isNext =
    phase.kind === 'receiving' &&
    !phase.ended &&
    message.n === comparison.n &&
    message.part === phase.part + 1
  const portion = isNext ? phase.left[0] : undefined
  if (!isNext || set === undefined || portion === undefined) {
    return { comparison: undefined, effects: [] }
  }
  const { n, part, head, records, fresh, lacks, last } = message
  return {
    comparison: {
      ...comparison,
      phase: { ...phase, part, ended: last },
      tally: { ...tally, received: tally.received + records.length },
    },
    effects: [
      {
        type: 'take',
        n,
        part,
        head,
        records,
        fresh,
        lacks,
        last,
        set,
        nodes: portion.nodes,
        isAll: portion.sends === 'all',
      },
    ],
  }
}

function took(
  comparison: Comparison,
  { left }: Extract<Phase, { kind: 'receiving' }>,
  event: Extract<ComparisonEvent, { type: 'took' }>,
  context: ComparisonContext,
): ComparisonStep {
  const { n, part, last, applied, pending } = event
  const { tally } = comparison
  const next: Comparison = {
    ...comparison,
    tally: { ...tally, applied: tally.applied + applied, pending: tally.pending + pending },
  }
  const message: ComparisonMessage = { t: 'taken', n, part }
  const rest = last ? nextPortion(next, left.slice(1), context) : { comparison: next, effects: [] }
  return { comparison: rest.comparison, effects: [{ type: 'send', message }, ...rest.effects] }
}
