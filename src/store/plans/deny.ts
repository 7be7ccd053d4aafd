/**
 * Answering a follower's record that is refused for good: what this node has of the key gets a stamp above
 * it, so that every node that holds the refused record gives it up. Where there is nothing, a delete does.
 */
import type { StoredRecord } from '../../core/data/entry.ts'
import { marksOf, versionOf } from '../../core/data/entry.ts'
import type { PlannedKeyState } from '../planning/draft.ts'
import type { PlanContext, Planner } from '../planning/planner.ts'
import { local } from '../plans/write.ts'

/** @param refused records whose stamps are not too far in the future. @returns how many keys were written again. */
export function planDeny(refused: readonly StoredRecord[]): Planner<number> {
  return {
    reads: () => ({ keys: refused.map(({ key }) => key) }),
    plan(context) {
      const keyStates = new Map<string, PlannedKeyState>()
      for (const record of refused) {
        const held = keyStates.get(record.key)?.record ?? context.keyState(record.key)?.record
        // What is later already wins.
        if (held !== undefined && versionOf(held) > versionOf(record)) continue
        keyStates.set(record.key, local(context, above(context, record, held)))
      }
      if (keyStates.size === 0) return { plan: undefined, result: 0 }
      return { plan: { keyStates: [...keyStates.values()] }, result: keyStates.size }
    },
  }
}

function above(
  context: PlanContext,
  refused: StoredRecord,
  held: StoredRecord | undefined,
): StoredRecord {
  const { key } = refused
  const stamp = context.now(versionOf(refused))
  const origin = context.identity.originFor(stamp, marksOf(held))
  return held?.kind === 'entry'
    ? { kind: 'entry', key, created: held.created, updated: stamp, origin, data: held.data }
    : { kind: 'tombstone', key, deleted: stamp, origin }
}
