/**
 * Reading a node's state back from its storage, and making a new one in an empty storage.
 *
 * What is damaged is found here and told, never passed over: rows that do not fit their checksums,
 * records that differ from the digest the last batch left, and what the adapter itself reports. A
 * damaged storage begins its epochs again, so that every peer is compared with in full, which
 * brings back whatever any of them holds.
 */
import { type Digest, DigestSum, sameDigest } from '../../core/data/digest.ts'
import { versionOf } from '../../core/data/entry.ts'
import { isStateError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { BatchOperation, StorageAdapter } from '../../core/ports/storage-adapter.ts'
import type { TimeSource } from '../../core/ports/time.ts'
import { decodeHead, encodeHead, type Head, NEW_HEAD } from '../format/head.ts'
import { ORIGIN_ROW, WritingIdentity } from '../format/identity.ts'
import {
  DAMAGE_ROWS,
  damageRow,
  decodeRecord,
  FORMAT,
  FORMAT_ROW,
  META_ROWS,
  metaRow,
  nameOfRow,
  OUTBOX_ROWS,
  RECORD_ROWS,
  sealRow,
  unsealRow,
} from '../format/rows.ts'
import { Damage } from '../integrity/damage.ts'
import { compareWithLog } from '../integrity/integrity.ts'
import { CHECKED_ROW, type RepairedRecords, repairRecords } from '../integrity/repair-records.ts'
import { beginEpoch, currentEpoch } from '../log/epochs.ts'
import { buildTimeIndex } from '../log/time-index.ts'
import type { InMemoryState } from '../state/in-memory-state.ts'
import { readOutbox } from '../state/outbox-rows.ts'
import type { LeaderOf } from '../types/store-options.ts'
import { beginIncarnation, INCARNATIONS_ROW } from './incarnations.ts'
import { progressOf } from './load-progress.ts'
import { upgradeStorage } from './upgrade.ts'

export interface LoadOptions {
  readonly adapter: StorageAdapter
  readonly leaderOf: LeaderOf
  readonly newId: () => string
  readonly logger: Logger
  readonly time: TimeSource | undefined
  /** Takes every record; undefined leaves them on disk, where a time index is kept for them. */
  readonly inMemory: InMemoryState | undefined
}

export interface LoadedState {
  readonly meta: Map<string, string>
  readonly head: Head
  /** How many records are pending for each leader. */
  readonly pending: ReadonlyMap<string, number>
  readonly damage: Damage
  readonly identity: WritingIdentity
}

/** A load that has read everything, and written nothing. */
interface Reading {
  readonly found: Found
  readonly outbox: Outbox
}

type Outbox = Awaited<ReturnType<typeof readOutbox>>

/** What was read; `Head.digest` is what the last batch left, `digest` what is there. */
interface Found {
  readonly meta: Map<string, string>
  head: Head
  digest: Digest | undefined
  readonly damage: Damage
  /** How far the log goes must be found out from the records. */
  isHeadLost: boolean
  /** Damage is new: peers must be compared with in full. */
  isNew: boolean
}

/** @throws StateError `format_unsupported`, or what the adapter throws. */
export async function loadState(options: LoadOptions): Promise<LoadedState> {
  const { found, outbox } = await readSound(options)
  await dropStale(options.adapter, outbox)
  if (found.isNew || differs(found)) await assess(options, found)
  await begin(options, found)
  const [id = '', row] = ['id', ORIGIN_ROW].map((name) => found.meta.get(name))
  const identity = new WritingIdentity(id, row, found.head.clock)
  return { ...found, pending: outbox.pending, identity }
}

/** Reads everything, and again after a repair by the adapter when what was read is damaged. */
async function readSound(options: LoadOptions): Promise<Reading> {
  const { adapter, inMemory } = options
  const reading = await read(options)
  if (!reading.found.isNew && !differs(reading.found)) return reading
  if ((await adapter.repair?.()) === undefined) return reading
  inMemory?.clear()
  return read(options)
}

/** Does what reads a storage, and once more after a repair by the adapter when damaged bytes stopped it. */
export async function repairedOnce<T>(adapter: StorageAdapter, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    // The row of the format has no checksum: a format that nobody knows may be damage.
    const isDamage =
      isStateError(error, 'corrupt_record') || isStateError(error, 'format_unsupported')
    if (!isDamage || (await adapter.repair?.()) === undefined) throw error
    return work()
  }
}

async function read(options: LoadOptions): Promise<Reading> {
  const { adapter, inMemory } = options
  const hasFormat = (await upgradeStorage(adapter)) !== undefined
  const repaired = hasFormat ? await repairRecords(adapter) : undefined
  const found = await readMeta(adapter, hasFormat)
  if (repaired !== undefined && repaired.count > 0) noteRepaired(options, found, repaired)
  if (inMemory !== undefined || found.isHeadLost) await readRecords(options, found)
  return { found, outbox: await readPending(options, found) }
}

function noteRepaired(
  { logger }: LoadOptions,
  { damage }: Found,
  { count, keys }: RepairedRecords,
): void {
  const named = `${keys.map((key) => JSON.stringify(key)).join(', ')}${count > keys.length ? ', …' : ''}`
  const sentence = `${count} records had an origin that no other node takes, and were given one that stands in for it: ${named}`
  damage.note(sentence)
  logger.warn(sentence)
}

function differs({ head, digest }: Found): boolean {
  return head.digest !== undefined && digest !== undefined && !sameDigest(head.digest, digest)
}

async function readMeta(adapter: StorageAdapter, hasFormat: boolean): Promise<Found> {
  const damage = new Damage()
  const meta = new Map<string, string>()
  const found: Found = {
    meta,
    head: NEW_HEAD,
    digest: undefined,
    damage,
    isHeadLost: false,
    isNew: false,
  }
  const report = (sentence: string): void => {
    damage.note(sentence)
    found.isNew = true
  }
  if (adapter.damage !== undefined) report(adapter.damage)
  for await (const [row, sealed] of adapter.iterate(META_ROWS)) {
    const value = row === FORMAT_ROW ? sealed : unsealRow(row, sealed)
    if (value === undefined) report(`the row "${row}" does not match its checksum`)
    else meta.set(nameOfRow(row), value)
  }
  for await (const [row] of adapter.iterate(DAMAGE_ROWS)) damage.add(nameOfRow(row))
  const head = meta.get('head')
  const decoded = head === undefined ? undefined : decodeHead(head)
  if (decoded !== undefined) found.head = decoded
  else if ((!hasFormat || meta.has('id')) && (await hasRecords(adapter))) {
    report('the row that tells how far the log goes is missing')
    found.head = { ...NEW_HEAD, digest: undefined }
    found.isHeadLost = true
  }
  return found
}

async function hasRecords(adapter: StorageAdapter): Promise<boolean> {
  for await (const _row of adapter.iterate({ ...RECORD_ROWS, limit: 1 })) return true
  return false
}

async function readRecords(options: LoadOptions, found: Found): Promise<void> {
  const { adapter, inMemory, logger, time } = options
  const sum = new DigestSum()
  const progress = progressOf(logger, time, found.head.digest?.count)
  let { seq, clock } = found.head
  for await (const [row, value] of adapter.iterate(RECORD_ROWS)) {
    const key = nameOfRow(row)
    const decoded = decodeRecord(key, value)
    progress()
    if (decoded === undefined) {
      if (found.damage.add(key)) found.isNew = true
      continue
    }
    // A record behind a damage row was found too old once: it is not served.
    if (found.damage.has(key)) continue
    const { record } = decoded
    inMemory?.load(decoded)
    sum.add(record)
    if (decoded.seq > seq) seq = decoded.seq
    if (versionOf(record) > clock) clock = versionOf(record)
  }
  inMemory?.loaded()
  found.digest = sum.value
  found.head = { ...found.head, seq, clock }
}

async function readPending(options: LoadOptions, found: Found): Promise<Outbox> {
  const { adapter, inMemory, leaderOf } = options
  const outbox = await readOutbox({
    rows: adapter.iterate(OUTBOX_ROWS),
    adapter,
    leaderOf,
    isDamaged: (key) => found.damage.has(key),
    found(key, seq, leader, causalContext) {
      const before = inMemory?.keyState(key)
      if (before?.seq === seq)
        inMemory?.put({ keyState: { ...before, pendingFor: leader, causalContext }, before })
    },
  })
  const { unreadable } = outbox
  if (unreadable > 0) {
    found.damage.note(`${unreadable} rows of the outbox do not match their checksums`)
    found.isNew = true
  }
  return outbox
}

async function dropStale(adapter: StorageAdapter, { stale }: Outbox): Promise<void> {
  for (let i = 0; i < stale.length; i += 1000) {
    await adapter.batch(stale.slice(i, i + 1000).map((key) => ({ type: 'del', key })))
  }
}

/** Something is wrong: names what is, and puts the log in order. */
async function assess(options: LoadOptions, found: Found): Promise<void> {
  const { adapter, logger } = options
  const { damage, head, digest } = found
  found.isNew = true
  if (differs(found)) {
    damage.note(`${digest?.count} records are readable where ${head.digest?.count} were written`)
  }
  const sum = new DigestSum(digest)
  const findings = await compareWithLog(adapter)
  for (const key of findings.damaged) {
    damage.add(key)
    const dropped = options.inMemory?.drop(key)
    if (dropped !== undefined) sum.remove(dropped.record)
  }
  if (digest !== undefined) found.digest = sum.value
  for (let i = 0; i < findings.repairs.length; i += 1000) {
    await adapter.batch(findings.repairs.slice(i, i + 1000))
  }
  logger.error('the storage is damaged; what is intact is served, peers are asked for the rest', {
    findings: damage.sentences.join('; '),
    damagedRecords: damage.keys.length,
    firstKeys: damage.keys.slice(0, 10).join(', '),
  })
}

/** Begins an epoch, and notes what was found out. */
async function begin(options: LoadOptions, found: Found): Promise<void> {
  const { adapter, newId, inMemory, logger, time } = options
  const { meta, damage, isNew } = found
  const epochs = beginEpoch(isNew ? undefined : meta.get('epochs'), newId(), found.head.seq)
  if (isNew || !meta.has('epochs') || !meta.has('born')) {
    // What was merged before is not known any more; see `detect-conflicts.ts`. A new storage has merged nothing.
    const wallNs = time?.wallNs() ?? 0n
    const now = wallNs > found.head.clock ? wallNs : found.head.clock
    meta.set('born', String(meta.has('id') ? now : 0n))
  }
  meta.set('epochs', epochs)
  // Of a damaged storage the newest ones may be lost: an older one must not be named as the one before.
  const known = isNew ? undefined : meta.get(INCARNATIONS_ROW)
  meta.set(INCARNATIONS_ROW, beginIncarnation(known, currentEpoch(epochs)))
  if (!meta.has('id')) meta.set('id', newId())
  const isIndexed = meta.has('indexed')
  if (inMemory === undefined && !isIndexed) {
    await buildTimeIndex(adapter, progressOf(logger, time, found.head.digest?.count))
  }
  if (isNew || inMemory !== undefined) found.head = { ...found.head, digest: found.digest }
  const rows: BatchOperation[] = ['epochs', INCARNATIONS_ROW, 'id', 'born'].map((name) =>
    put(name, meta.get(name) ?? ''),
  )
  rows.push(put('head', encodeHead(found.head)))
  rows.push({ type: 'put', key: FORMAT_ROW, value: FORMAT }, put(CHECKED_ROW, 'yes'))
  if (inMemory === undefined) rows.push(put('indexed', 'yes'))
  else if (isIndexed) rows.push({ type: 'del', key: metaRow('indexed') })
  if (isNew) {
    for (const key of damage.keys) {
      rows.push({ type: 'put', key: damageRow(key), value: sealRow(damageRow(key), 'damaged') })
    }
  }
  // Synced where that can be: a leader is about to hear of the incarnation, and remembers it.
  const canSync = adapter.capabilities.durability.includes('disk')
  await adapter.batch(rows, canSync ? { durability: 'disk' } : {})
}

function put(name: string, value: string): BatchOperation {
  return { type: 'put', key: metaRow(name), value: sealRow(metaRow(name), value) }
}
