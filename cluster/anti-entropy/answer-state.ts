/**
 * What a leader owes one follower in comparisons: at most one question and one exchange at a time.
 * A pure part of `leader/session.ts`.
 *
 * Invariants, checked by `test/quick/cluster/leader/session.test.ts`:
 * 1. Parts that are not taken exceed the window by less than one message.
 * 2. At most one page is being searched for.
 * 3. A follower that asks more than one thing at a time, or about keys it does not follow, or sends
 *    more hashes than may be, is refused.
 */
import type { Digest } from '../../src/core/data/digest.ts'
import type {
  Ask,
  ComparisonMessage,
  ComparisonReply,
  Have,
  KeySet,
  Taken,
  Want,
} from '../../src/core/wire/comparison.ts'
import { HASH_DIGITS, MAX_HASHES } from '../../src/core/wire/comparison.ts'
import type { ClusterLimits } from '../config/options.ts'
import type { AnswerPage } from './answer.ts'

export interface Answers {
  /** Number of the question whose digests are being made. */
  readonly asked: number | undefined
  readonly exchange: Exchange | undefined
}

interface Exchange {
  readonly n: number
  /** `have` messages still to come. */
  readonly awaited: number
  readonly hashes: number
  /** Number of the last part that was sent. */
  readonly part: number
  readonly inFlight: readonly { readonly part: number; readonly bytes: number }[]
  readonly searching: boolean
}

export const NO_ANSWERS: Answers = Object.freeze({ asked: undefined, exchange: undefined })

export type AnswerEvent =
  | { readonly type: 'comparison'; readonly message: ComparisonMessage }
  | {
      readonly type: 'digested'
      readonly n: number
      readonly head: number
      readonly horizon: bigint
      readonly digests: readonly Digest[]
    }
  | { readonly type: 'found'; readonly n: number; readonly head: number; readonly page: AnswerPage }

export type AnswerEffect =
  | { readonly type: 'send'; readonly message: ComparisonReply }
  /** Answered by `digested`. */
  | { readonly type: 'digest'; readonly ask: Ask }
  /** Make ready to answer; what was left of the exchange before is over. */
  | { readonly type: 'open'; readonly want: Want }
  | { readonly type: 'gather'; readonly have: Have }
  /** Look for the next page; answered by `found`. */
  | { readonly type: 'search'; readonly n: number }

/** `refusal` tells why the follower is not to be served any longer. */
export interface AnswerStep {
  readonly answers: Answers
  readonly effects: readonly AnswerEffect[]
  readonly refusal?: string
}

/** Messages of hashes in one exchange at most. */
const MAX_PARTS = 65_536

export function stepAnswers(
  answers: Answers,
  event: AnswerEvent,
  scopes: readonly string[],
  limits: ClusterLimits,
): AnswerStep {
  switch (event.type) {
    case 'comparison':
      return hear(answers, event.message, scopes, limits)
    case 'digested': {
      const { n, head, horizon, digests } = event
      if (answers.asked !== n) return { answers, effects: [] }
      const message: ComparisonReply = { t: 'digests', n, head, horizon, digests }
      return { answers: { ...answers, asked: undefined }, effects: [{ type: 'send', message }] }
    }
    case 'found':
      return send(answers, event, limits)
  }
}

function hear(
  answers: Answers,
  message: ComparisonMessage,
  scopes: readonly string[],
  limits: ClusterLimits,
): AnswerStep {
  switch (message.t) {
    case 'ask':
      if (answers.asked !== undefined) return refuse(answers, 'two questions at a time')
      if (!scopes.includes(message.set.path)) return outside(answers, message.set)
      return {
        answers: { ...answers, asked: message.n },
        effects: [{ type: 'digest', ask: message }],
      }
    case 'want':
      return open(answers, message, scopes, limits)
    case 'have':
      return gather(answers, message, limits)
    case 'taken':
      return taken(answers, message, limits)
  }
}

function open(
  answers: Answers,
  want: Want,
  scopes: readonly string[],
  limits: ClusterLimits,
): AnswerStep {
  if (answers.exchange !== undefined) return refuse(answers, 'two exchanges at a time')
  if (!scopes.includes(want.set.path)) return outside(answers, want.set)
  if (want.parts > MAX_PARTS) {
    return refuse(answers, `${want.parts} messages of hashes, the limit is ${MAX_PARTS}`)
  }
  const exchange: Exchange = {
    n: want.n,
    awaited: want.parts,
    hashes: 0,
    part: 0,
    inFlight: [],
    searching: false,
  }
  return searchOn({ ...answers, exchange }, exchange, limits, [{ type: 'open', want }])
}

function gather(answers: Answers, have: Have, limits: ClusterLimits): AnswerStep {
  const { exchange } = answers
  if (exchange === undefined || exchange.n !== have.n || exchange.awaited === 0) {
    return refuse(answers, `hashes for exchange ${have.n}, which awaits none`)
  }
  const hashes = exchange.hashes + have.hashes.length / HASH_DIGITS
  if (hashes > MAX_HASHES) return refuse(answers, `${hashes} hashes, the limit is ${MAX_HASHES}`)
  const next = { ...exchange, hashes, awaited: exchange.awaited - 1 }
  return searchOn({ ...answers, exchange: next }, next, limits, [{ type: 'gather', have }])
}

/** What is said of an exchange that is over changes nothing. */
function taken(answers: Answers, { n, part }: Taken, limits: ClusterLimits): AnswerStep {
  const { exchange } = answers
  if (exchange === undefined || exchange.n !== n) return { answers, effects: [] }
  if (part > exchange.part) {
    return refuse(answers, `took part ${part}, only ${exchange.part} were sent`)
  }
  const inFlight = exchange.inFlight.filter((sent) => sent.part > part)
  const next = { ...exchange, inFlight }
  return searchOn({ ...answers, exchange: next }, next, limits, [])
}

function send(
  answers: Answers,
  { n, head, page }: Extract<AnswerEvent, { type: 'found' }>,
  limits: ClusterLimits,
): AnswerStep {
  const { exchange } = answers
  if (exchange === undefined || exchange.n !== n) return { answers, effects: [] }
  const part = exchange.part + 1
  const { records, fresh, large, lacks, last, bytes } = page
  const whole = large === undefined ? {} : { whole: [0] }
  const message: ComparisonReply = {
    ...{ t: 'found', n, part, head, records, ...whole, fresh, lacks, last },
  }
  const effects: AnswerEffect[] = [{ type: 'send', message }]
  if (last) return { answers: { ...answers, exchange: undefined }, effects }
  const inFlight = [...exchange.inFlight, { part, bytes }]
  const next = { ...exchange, part, inFlight, searching: false }
  return searchOn({ ...answers, exchange: next }, next, limits, effects)
}

/** Looks for the next page unless hashes are missing, it is being done, or the window is full. */
function searchOn(
  answers: Answers,
  exchange: Exchange,
  limits: ClusterLimits,
  effects: readonly AnswerEffect[],
): AnswerStep {
  const unacknowledged = exchange.inFlight.reduce((sum, { bytes }) => sum + bytes, 0)
  if (exchange.awaited > 0 || exchange.searching || unacknowledged >= limits.windowBytes) {
    return { answers: { ...answers, exchange }, effects }
  }
  return {
    answers: { ...answers, exchange: { ...exchange, searching: true } },
    effects: [...effects, { type: 'search', n: exchange.n }],
  }
}

function outside(answers: Answers, { path }: KeySet): AnswerStep {
  return refuse(answers, `asked about "${path}", which is none of its scopes`)
}

function refuse(answers: Answers, refusal: string): AnswerStep {
  return { answers, effects: [], refusal }
}
