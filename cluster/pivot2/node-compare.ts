/**
 * Puts a 2.0 node's list beside what its leader holds. 2.0 can not tell that a change was missed: a
 * push that failed is never repeated, and a node pulls only when its leader's activity is greater than
 * its own. So its leader looks: what is newer there is taken, and what is older there is told anew.
 */
import type { HybridClock } from '../../src/core/clock.ts'
import { type Entry, versionOf } from '../../src/core/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import type { Store } from '../../src/store/store.ts'
import type { PeerClient } from './peer-client.ts'
import { isOfScope, type PivotScope } from './wire.ts'

export interface CompareOptions {
  readonly store: Store
  readonly clock: HybridClock
  readonly peer: PeerClient
  readonly scope: PivotScope
  /** Marks what is taken from the node. */
  readonly source: string
}

const PAGE = 500
/** Greatest list that is compared, entries: their keys are remembered meanwhile. */
const MAX_LIST = 5_000_000

/**
 * Takes what the node has that is newer. @returns whether it then holds all that is held here.
 * @throws StateError of the peer and of the storage.
 */
export async function compareWithNode(options: CompareOptions): Promise<boolean> {
  const { store, peer, scope } = options
  const there = new Set<string>()
  let isSame = true
  for await (const page of pagesOf(peer, scope)) {
    for (const { key } of page) there.add(key)
    if (there.size > MAX_LIST) {
      throw new StateError('too_large', `pivot: ${scope.path} has over ${MAX_LIST} entries there`)
    }
    if (!(await comparePage(options, page))) isSame = false
  }
  const { rows } = await store.scanRows({ prefix: scope.base })
  for await (const { record } of rows) {
    if (record.kind === 'tombstone' || !isOfScope(scope, record.key)) continue
    if (!there.has(record.key)) isSame = false
  }
  return isSame
}

/** @returns false when something is older there. */
async function comparePage(options: CompareOptions, page: readonly Entry[]): Promise<boolean> {
  const { store, clock, source } = options
  const newer: Entry[] = []
  let isSame = true
  for (const entry of page) {
    const slot = await store.slot(entry.key)
    const version = versionOf(entry)
    // Unknown here, and old enough to have been deleted and forgotten: it was.
    const held = slot === undefined ? store.retention.forgotten : versionOf(slot.record)
    if (version > held) newer.push(entry)
    else if (slot === undefined || slot.record.kind === 'tombstone') isSame = false
    else if (version < held) {
      isSame = false
      await makeTakeable(store, slot.record, entry)
    }
  }
  if (newer.length > 0) await store.merge(newer, { source, notAfter: clock.latest })
  return isSame
}

/** 2.0 nodes take an entry only when its `updated` is greater than theirs: writes ours again if it is not. */
export async function makeTakeable(store: Store, ours: Entry, theirs: Entry): Promise<void> {
  if (ours.updated > theirs.updated) return
  await store.update(ours.key, ({ data }) => data)
}

async function* pagesOf(peer: PeerClient, scope: PivotScope): AsyncGenerator<Entry[], undefined> {
  if (!scope.isList) {
    const entry = await peer.object(scope)
    if (entry !== undefined) yield [entry]
    return undefined
  }
  let page: Entry[] = []
  for await (const entry of peer.list(scope)) {
    page.push(entry)
    if (page.length < PAGE) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
  return undefined
}
