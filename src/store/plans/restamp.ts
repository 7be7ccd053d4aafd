/**
 * New stamps for records that a leader refused because they lie too far in the future: a wrong clock
 * made them. The records keep their data and order; they count as made when the leader's time became
 * known. Local readers and subscribers see them as ordinary changes.
 *
 * A restamp must not be undone by older copies, which other nodes may hold under the greater first
 * stamp. So the node takes the next origin in the same batch, the restamped records are written under
 * it, and each key gets marks (see `core/data/marks.ts`): for the record under its first stamp, and later ones
 * for all that this node knows to be older: what its makers wrote before, whatever else was under the key
 * since the leader last acknowledged it, and everything that its followers had pushed.
 */

import { EMPTY_CONTEXT, parseContext } from '../../core/data/causal-context.ts'
import {
  marksOf,
  nameOf,
  type StoredRecord,
  versionOf,
  withMarks,
  withWas,
} from '../../core/data/entry.ts'
import { addLaterMarks, addMarks, type ChangeName, isCovered } from '../../core/data/marks.ts'
import { pushedSince } from '../format/merged-versions.ts'
import type { Planner } from '../planning/planner.ts'
import type { SentRow } from '../replication/replication.ts'
import { justBefore, nextWas, stampsOf, withStamps } from '../replication/restamped-record.ts'
import type { KeyState } from '../state/state.ts'

/**
 * Gives the rows that are still pending for `leader` stamps right after `base`, a time of the leader that
 * exceeds everything it holds. Equal stamps stay equal, smaller ones smaller. `restamped` is called
 * in the operation's turn with the greatest new stamp.
 * @returns how many records have new stamps.
 */
export function planRestamp(
  leader: string,
  rows: readonly SentRow[],
  base: bigint,
  restamped: (last: bigint) => void,
): Planner<number> {
  return {
    reads: () => ({ keys: rows.map(({ key }) => key) }),
    plan(context) {
      const found: KeyState[] = []
      for (const { key, seq } of rows) {
        const keyState = context.keyState(key)
        if (keyState?.seq === seq && keyState.pendingFor === leader) found.push(keyState)
      }
      const stamps = newStamps(found, base)
      restamped(base + BigInt(stamps.size))
      found.sort((a, b) => (versionOf(a.record) < versionOf(b.record) ? -1 : 1))
      const reach = found.reduce((most, { record }) => max(most, versionOf(record)), 0n)
      const before = context.identity.origin
      const origin = found.length === 0 ? before : context.identity.restamp(reach)
      const pushed = found.length === 0 ? [] : pushedSince(context.meta, base)
      const keyStates = found.map((keyState) => ({
        record: restampedRecord(keyState, { stamps, origin, before, pushed }),
        pendingFor: leader,
      }))
      // A change that lost in the meantime stays pending as what lost: it is shown under the stamp that it had.
      return { plan: { keyStates }, result: keyStates.length }
    },
  }
}

/** By old stamp, those beyond `base`, in order. */
function newStamps(keyStates: readonly KeyState[], base: bigint): ReadonlyMap<bigint, bigint> {
  const beyond = new Set<bigint>()
  for (const stamp of keyStates.flatMap(({ record }) => stampsOf(record))) {
    if (stamp > base) beyond.add(stamp)
  }
  const sorted = [...beyond].sort((a, b) => (a < b ? -1 : 1))
  return new Map(sorted.map((stamp, i) => [stamp, base + BigInt(i + 1)]))
}

interface Restamp {
  readonly stamps: ReadonlyMap<bigint, bigint>
  readonly origin: string
  /** The origin under which this node wrote until now. */
  readonly before: string
  /** What followers have pushed: it is older. */
  readonly pushed: readonly ChangeName[]
}

function restampedRecord(keyState: KeyState, restamp: Restamp): StoredRecord {
  const { stamps, origin, before, pushed } = restamp
  const { record } = keyState
  const moved = withStamps(record, stamps, origin)
  const version = versionOf(moved)
  const first: ChangeName = { origin: record.origin, version: versionOf(record) }
  const own: ChangeName = { origin: before, version: first.version }
  const named = withWas(moved, nextWas(record, first))
  const marks = addMarks(marksOf(record), [first, own])
  const causalContext = changesOf(keyState.causalContext ?? EMPTY_CONTEXT)
  const older = [...justBefore([first, own]), ...causalContext, ...pushed].filter(
    // At equal stamps a delete wins, or the greater origin: those have to be covered as well.
    (change) =>
      change.version >= version && !isCovered(addLaterMarks(undefined, [change]), nameOf(named)),
  )
  return withMarks(named, addLaterMarks(marks, older))
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

function changesOf(causalContext: string): ChangeName[] {
  return [...parseContext(causalContext)].map(([origin, version]) => ({ origin, version }))
}
