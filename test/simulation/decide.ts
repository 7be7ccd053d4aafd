/** Conditional writes on a virtual node: decided there or refused, and waited for until a majority holds them. */
import type { StoredRecord } from '../../src/core/entry.ts'
import { versionOf } from '../../src/core/entry.ts'
import { isStateError } from '../../src/core/errors.ts'
import type { Store } from '../../src/store/store.ts'
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
  const base = (await store.slot(key))?.record
  const promised = decisions.latest(key)
  const n = node.grant
  witness.attempt(data, key)
  const precondition =
    base?.kind === 'entry'
      ? ({ kind: 'any-of', versions: [versionOf(base)] } as const)
      : ({ kind: 'absent' } as const)
  try {
    await store.set(key, data, { precondition })
  } catch (error) {
    if (REFUSALS.some((code) => isStateError(error, code))) return
    throw error
  }
  world.count('decisions')
  const slot = await written(store, key, data)
  if (slot === undefined || n === undefined) return
  const { record, seq } = slot
  // Read before it was decided: what came in between was the base then.
  decisions.made({ n, record }, laterOf(base, slot.before), promised)
  await agree(world, node, { n, record, seq })
}

interface Made {
  readonly n: number
  readonly record: StoredRecord
  readonly seq: number
}

/** Waits until a majority holds the decision while the lease holds, and promises it then. */
async function agree(world: World, node: VirtualNode, { n, record, seq }: Made): Promise<void> {
  const { store } = node
  for (let ms = 0; ms < WAIT_MS; ms += LOOK_MS) {
    // Its process died, or another node leads.
    if (node.store !== store || node.grant !== n) return
    const { ballot } = node
    if (ballot?.list !== undefined && ballot.isHeldByMajority(seq)) {
      world.count('decisions that a majority held')
      world.decisions.promise({ n, record, voters: ballot.list })
      return
    }
    await new Promise<void>((resolve) => {
      world.time.after(LOOK_MS, resolve)
    })
  }
}

/** What was just written, unless something has replaced it already. */
async function written(
  store: Store,
  key: string,
  data: string,
): Promise<{ record: StoredRecord; seq: number; before: undefined } | undefined> {
  const slot = await store.slot(key)
  if (slot?.record.kind !== 'entry' || slot.record.data !== data) return undefined
  return { record: slot.record, seq: slot.seq, before: undefined }
}

function laterOf(
  a: StoredRecord | undefined,
  b: StoredRecord | undefined,
): StoredRecord | undefined {
  return a ?? b
}
