/**
 * What became of the writes that nobody saw: the conflict logs of all nodes against the oracle's own order
 * (`causality.ts`). A write that no other one follows was replaced without anybody having seen it, unless it
 * is what its key holds. Then some node's log has it. And no log has what the winner followed.
 */
import type { Conflict } from '../../src/store/conflicts/conflict-log.ts'
import type { Op, Operation } from './causality.ts'
import type { World } from './world.ts'

/** More than a history makes. */
const LIMIT = 10_000

/** What is wrong with the logs of a world that has come to rest, in words. */
export async function faultsOfLogs(world: World): Promise<string[]> {
  const conflicts = await conflictsOf(world)
  return [...(await unlogged(world, conflicts)), ...falsely(world, conflicts)]
}

async function conflictsOf({ nodes }: World): Promise<Conflict[]> {
  const logs = nodes.map((node) => node.engine?.conflicts.list({ limit: LIMIT }))
  return (await Promise.all(logs)).flatMap((log) => log ?? [])
}

/** Writes that are gone without a trace. */
async function unlogged(world: World, conflicts: readonly Conflict[]): Promise<string[]> {
  const { causality } = world.witness
  const operations = [...causality.operations()]
  const logged = new Set<Op>(conflicts.map(({ loser }) => causality.opOf(loser)))
  const held = new Map<string, Op>()
  for (const node of world.nodes) {
    for (const [key, record] of await world.complete(node.records())) {
      held.set(key, causality.opOf(record))
    }
  }
  return operations.flatMap(({ op, key, isDelete }) => {
    if (held.get(key) === op || logged.has(op)) return []
    if (operations.some((other) => causality.follows(other.op, op))) return []
    // Of two deletes neither is lost: what becomes of the other one is looked at in its turn.
    const isAnother = (other: Operation): boolean =>
      other.isDelete && other.key === key && other.op !== op && !causality.follows(op, other.op)
    if (isDelete && operations.some(isAnother)) return []
    return [`${op} gave way to ${held.get(key)} and is in no log`]
  })
}

/** Entries of logs whose winner had seen the loser, or the other way round. */
function falsely({ witness: { causality } }: World, conflicts: readonly Conflict[]): string[] {
  return conflicts.flatMap(({ key, loser, winner }) => {
    const [lost, won] = [causality.opOf(loser), causality.opNamed(key, winner)]
    if (won === undefined) return []
    const isLater = lost === won || causality.follows(won, lost) || causality.follows(lost, won)
    return isLater ? [`${lost} is in a log as lost against ${won}, one follows the other`] : []
  })
}
