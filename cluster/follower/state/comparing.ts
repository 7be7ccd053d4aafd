/**
 * How a follower compares what it holds with its leader: the part of `follower/state/state.ts` that
 * begins, drives and ends a comparison. Pure.
 */

import type { Digests, Found } from '../../../src/core/wire/comparison.ts'
import type { LogPosition } from '../../../src/core/wire/protocol.ts'
import type {
  Comparison,
  ComparisonContext,
  ComparisonStep,
} from '../../anti-entropy/comparison.ts'
import { beginComparison, hasEnded, stepComparison } from '../../anti-entropy/comparison.ts'
import type { ComparisonEvent } from '../../anti-entropy/comparison-events.ts'
import type {
  FollowerContext,
  FollowerEffect,
  FollowerEvent,
  FollowerStep,
  FollowingState,
  OpenState,
} from './link.ts'
import { dropLink, isFollowing } from './link.ts'
import { collect, noteHead } from './pushes.ts'

/** With more rows than this in the outbox a comparison would mostly find them: it is left to the next time. */
const MAX_UNDER_WAY = 256

/** Begins to compare: what is held with a log that is new here, or at intervals to make sure. */
export function begin(state: FollowingState, context: FollowerContext): FollowerStep {
  const isFirst = state.kind === 'comparing'
  const begun = beginComparison(context.sets, isFirst, state.asked, inside(state, context))
  return proceed(state, begun, context)
}

/** Begins a comparison at its time, unless one is under way or much else is. */
export function compareDue(
  state: OpenState,
  { pending }: Extract<FollowerEvent, { type: 'compareDue' }>,
  context: FollowerContext,
): FollowerStep {
  if (state.kind !== 'live' || state.comparison !== undefined) return { state, effects: [] }
  if (pending > MAX_UNDER_WAY) return { state, effects: [] }
  return begin(state, context)
}

/** The leader's digests came. */
export function digestsReceived(
  state: OpenState,
  { message, ours }: { readonly message: Digests; readonly ours: ComparisonDigests },
  context: FollowerContext,
): FollowerStep {
  if (state.kind === 'offline') return { state, effects: [] }
  if (!isFollowing(state)) return dropLink(state, '"digests" before "welcome"')
  const { n, head, digests } = message
  const heard = noteHead({ ...state, silentBeats: 0 }, head)
  return step(heard, { type: 'digestsReceived', n, theirs: digests, ours }, context)
}

type ComparisonDigests = Extract<ComparisonEvent, { type: 'digestsReceived' }>['ours']

/** A part of an exchange came. */
export function found(
  state: FollowingState,
  message: Found,
  context: FollowerContext,
): FollowerStep {
  return step(noteHead(state, message.head), { type: 'found', message }, context)
}

/** A step of the comparison was done here; one of an earlier connection changes nothing. */
export function done(
  state: OpenState,
  event: Extract<FollowerEvent, { type: 'took' | 'hashed' }>,
  context: FollowerContext,
): FollowerStep {
  const next = event.type === 'took' ? { ...state, progress: event.progress } : state
  if (!isFollowing(next) || event.session !== state.session) return { state: next, effects: [] }
  const stepped = step(next, event, context)
  if (event.type === 'hashed' || stepped.state.kind === 'closed') return stepped
  // What the leader lacks is in the outbox now.
  const pump = collect(stepped.state, context)
  return { state: pump.state, effects: [...stepped.effects, ...pump.effects] }
}

function step(
  state: FollowingState,
  event: ComparisonEvent,
  context: FollowerContext,
): FollowerStep {
  const { comparison } = state
  if (comparison === undefined) return dropLink(state, `"${event.type}" without a comparison`)
  return proceed(state, stepComparison(comparison, event, inside(state, context)), context)
}

function inside({ applied }: FollowingState, { limits }: FollowerContext): ComparisonContext {
  return { limits, applied }
}

function proceed(
  state: FollowingState,
  { comparison, effects }: ComparisonStep,
  context: FollowerContext,
): FollowerStep {
  if (comparison === undefined) return dropLink(state, 'a reply that was not asked for')
  const { session, leader } = state
  const seen: LogPosition = { epoch: leader.epoch, seq: leader.head }
  const outer = effects.map((effect): FollowerEffect => {
    if (effect.type === 'send') return effect
    if (effect.type === 'take') return { ...effect, session, seen }
    return { ...effect, session }
  })
  const next = { ...state, asked: comparison.n, comparison }
  if (!hasEnded(comparison)) return { state: next, effects: outer }
  const ended = end(next, comparison, context)
  return { state: ended.state, effects: [...outer, ...ended.effects] }
}

/** What was found is durable by the time the cursor is: durable steps run in order. */
function end(state: FollowingState, { tally }: Comparison, context: FollowerContext): FollowerStep {
  if (state.kind !== 'comparing') {
    const next: FollowingState = { ...state, comparison: undefined }
    return { state: next, effects: [{ type: 'compared', tally, isRepair: true }] }
  }
  const { session, leader, covered, isCaughtUp, ...rest } = state
  const next: FollowingState = {
    ...rest,
    session,
    leader,
    covered,
    kind: isCaughtUp ? 'live' : 'catchingUp',
    comparison: undefined,
  }
  const { id, epoch, head } = leader
  const progress = { cursor: { epoch, seq: covered }, seen: { epoch, seq: head }, leader: id }
  const pump = collect(next, context)
  return {
    state: pump.state,
    effects: [
      { type: 'save', session, progress },
      { type: 'compared', tally, isRepair: false },
      ...pump.effects,
    ],
  }
}
