/** Conditional writes on a virtual node: decided there or refused, and waited for until a majority holds them. */
import type { Change, StoredRecord } from '../../src/core/data/entry.ts'
import { versionOf } from '../../src/core/data/entry.ts'
import type { Precondition } from '../../src/core/data/precondition.ts'
import { isStateError } from '../../src/core/errors.ts'
import type { VirtualNode } from './node.ts'
import type { World } from './world.ts'

/** Answers that say that nothing was decided, or not whether it was. */
const REFUSALS = [
  ...(['not_leader', 'undecided', 'precondition_failed', 'unreachable'] as const),
  ...(['not_open', 'storage_failed', 'corrupt_record'] as const),
]
/** How long a majority is waited for, milliseconds, and how often it is looked for. */
const WAIT_MS = 3000
const LOOK_MS = 50

interface Made {
  readonly n: number
  readonly record: StoredRecord
  readonly seq: number
}

/** Replaces what the node has of a key, if that is still so where it is decided. */
export async function decide(
  world: World,
  node: VirtualNode,
  key: string,
  data: string,
): Promise<void> {
  const { store } = node
  if (store === undefined) return
  const { decisions, witness } = world
  const promised = decisions.latest(key)
  const precondition = conditionOf((await store.keyState(key))?.record)
  let made: Made | undefined
  const hear = (change: Change, seq: number): void => {
    const { after: record, replaced } = change
    const n = node.ballot?.n
    if (record.kind !== 'entry' || record.data !== data || n === undefined) return
    made = { n, record, seq }
    decisions.made(made, replaced, promised)
  }
  const unsubscribe = store.onCommit(({ changes, seq }) => {
    try {
      for (const change of changes) hear(change, seq)
    } catch (error) {
      world.fail(error)
    }
  })
  witness.attempt(data, key)
  try {
    await store.set(key, data, { precondition })
  } catch (error) {
    if (isStateError(error, 'undecided')) world.count('decisions refused until voters have voted')
    if (REFUSALS.some((code) => isStateError(error, code))) return
    throw error
  } finally {
    unsubscribe()
  }
  world.count('decisions')
  if (made !== undefined) await agree(world, node, made)
}

function conditionOf(record: StoredRecord | undefined): Precondition {
  if (record?.kind !== 'entry') return { kind: 'absent' }
  return { kind: 'any-of', versions: [versionOf(record)] }
}

/** Waits until a majority holds the decision while the lease holds, and promises it then. */
async function agree(world: World, node: VirtualNode, { n, record, seq }: Made): Promise<void> {
  const { store } = node
  for (let ms = 0; ms < WAIT_MS; ms += LOOK_MS) {
    const { ballot } = node
    // Its process died, or another node leads.
    if (node.store !== store || ballot?.n !== n) return
    if (node.decides && ballot.list !== undefined && ballot.isHeldByMajority(seq)) {
      world.count('decisions that a majority held')
      world.decisions.promise({ n, record, voters: ballot.list })
      return
    }
    await new Promise<void>((resolve) => {
      world.time.after(LOOK_MS, resolve)
    })
  }
}
