/** Reading a crashed database, and finding the point of the workload at which it stands. */

import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { openStore } from '../support/store.ts'
import { applyTo, type WorkloadState } from './workload.mjs'

/** What a database held when it was opened after a crash. */
export interface Crashed {
  readonly state: WorkloadState
  /** What the adapter said of damage. */
  readonly damage: string | undefined
}

/** Opens a folder and reads everything in it through a store. */
export async function readCrashed(directory: string): Promise<Crashed> {
  const adapter = new LevelStorage({ directory })
  const store = await openStore({ adapter, name: 'reader' })
  try {
    return { state: await stateOf(store), damage: adapter.damage }
  } finally {
    await store.close()
  }
}

async function stateOf(store: ReplicationStore): Promise<WorkloadState> {
  const state: WorkloadState = new Map()
  for (const key of await store.keys()) {
    const entry = await store.get(key)
    const { n, text } = JSON.parse(entry?.data ?? '{}') as { n: number; text: string }
    if (text.length !== (n * 37) % 400) throw new Error(`the text of ${key} is not that of ${n}`)
    const name = key.startsWith('p/') ? `p/${n}` : key
    if (state.has(name)) throw new Error(`the push ${n} is there twice`)
    state.set(name, n)
  }
  return state
}

/**
 * The number of operations that lead from `base` (the state after `first` - 1) to exactly `state`,
 * at least `least` - `first` + 1 of them; undefined when there is none: something acknowledged is
 * missing, torn, or back from the dead.
 */
export function standsAt(
  base: WorkloadState,
  first: number,
  least: number,
  state: WorkloadState,
): number | undefined {
  const replayed = new Map(base)
  // The newest number that is visible, and a few more: operations at the end may all be deletes.
  const most = Math.max(least, ...state.values()) + 10
  for (let n = first - 1; n <= most; n += 1) {
    if (n >= first) applyTo(replayed, n)
    if (n >= least && same(replayed, state)) return n
  }
  return undefined
}

/** What differs from the state after operation `last`, for failure messages. */
export function difference(
  base: WorkloadState,
  first: number,
  last: number,
  state: WorkloadState,
): string {
  const replayed = new Map(base)
  for (let n = first; n <= last; n += 1) applyTo(replayed, n)
  const keys = new Set([...replayed.keys(), ...state.keys()])
  const lines = [...keys].flatMap((key) => {
    const [wanted, found] = [replayed.get(key), state.get(key)]
    return wanted === found ? [] : [`${key}: ${found ?? 'absent'} instead of ${wanted ?? 'absent'}`]
  })
  return lines.slice(0, 20).join('; ')
}

function same(a: WorkloadState, b: WorkloadState): boolean {
  if (a.size !== b.size) return false
  for (const [key, value] of a) if (b.get(key) !== value) return false
  return true
}
