/** Takes the records of a backup into a store: a running node's, or a new one in an empty storage. */
import { HybridClock, LATEST_STAMP } from '../src/core/data/clock.ts'
import { encodeHash, hashText } from '../src/core/data/digest.ts'
import { type StoredRecord, versionOf } from '../src/core/data/entry.ts'
import { formatOrigin, isIdentifier, restoredOrigin } from '../src/core/data/origin.ts'
import { type ErrorCode, StateError } from '../src/core/errors.ts'
import type {
  BatchOperation,
  Durability,
  StorageAdapter,
} from '../src/core/ports/storage-adapter.ts'
import type { TimeSource } from '../src/core/ports/time.ts'
import { beginningRow, ORIGIN_ROW } from '../src/store/format/identity.ts'
import { metaRow, sealRow } from '../src/store/format/rows.ts'
import { lineageRows } from '../src/store/lineage/lineage.ts'
import { ReplicationStore } from '../src/store/replication-store.ts'
import { asEdited } from './edited-records.ts'
import type { BackupEvent } from './format/event.ts'
import type { BackupHeader, BackupTotals } from './format/header.ts'
import { UnfinishedStorage } from './unfinished-storage.ts'

/** What became of the records of a backup. */
export interface RestoreCounts {
  /** Taken, because the store had nothing or something older. */
  readonly applied: number
  /** Of those, the ones that were stamped too far in the future and got a stamp of this node. */
  readonly restamped: number
  /** In the store already. */
  readonly equal: number
  /** Left out, because the store has something newer. */
  readonly superseded: number
  /** Left out, because no node may hold them or they are greater than this one takes. */
  readonly refused: number
  /** Damaged places that were passed over. */
  readonly damage: number
}

export interface RestoreOptions {
  /** Goes on after damage with what can be read. Default false: the first damage is an error. */
  readonly salvage?: boolean
  /**
   * Whether the end of the backup vouches for lines without checksums, since a digest that does not fit undoes
   * the restore. Otherwise they count as edited. Default false.
   */
  readonly endVouches?: boolean
  /** Takes greater values and longer keys than are written, as a node of before held. Default false. */
  readonly anySize?: boolean
  /** Code of the error at the first damage. Default `corrupt_record`. */
  readonly damageCode?: ErrorCode
  /** When a record counts as restored. Default: when the store's writes count as done. */
  readonly durability?: Durability
  /** Greatest stamp that is taken as it is, nanoseconds; what would win with a greater one gets another. Default: any. */
  readonly latest?: bigint
  /** Hears after each page how many records have been looked at. */
  readonly onProgress?: (records: number) => void
}

/** Records merged in one operation, and bytes of their data: each is a batch of its own for those who hear of it. */
const PAGE_RECORDS = 1000
const PAGE_BYTES = 8 * 1024 * 1024

/**
 * Merges the records under last-write-wins, page by page; the next page is read when the one before is
 * durable.
 * @throws StateError `corrupt_record` at the first damage, with what was merged until then staying;
 *   what the store throws.
 */
export async function mergeBackup(
  store: ReplicationStore,
  events: AsyncIterable<BackupEvent>,
  options: RestoreOptions = {},
): Promise<RestoreCounts> {
  const counts = { applied: 0, equal: 0, superseded: 0, refused: 0, restamped: 0, damage: 0 }
  const merging = {
    source: 'restore',
    ...(options.anySize === true ? { anySize: true as const } : {}),
    ...(options.durability === undefined ? {} : { durability: options.durability }),
    // No node holds a greater stamp.
    restampAfter: options.latest ?? LATEST_STAMP,
  }
  let seen = 0
  for await (const event of events) {
    if (event.type === 'damage') {
      if (options.salvage !== true) {
        const { damageCode = 'corrupt_record' } = options
        throw new StateError(damageCode, `backup: ${event.damage.text}`)
      }
      counts.damage += 1
    }
    if (event.type !== 'records') continue
    for (const given of pagesOf(event.records)) {
      const isVouched = event.isUnsealed !== true || options.endVouches === true
      const page = isVouched ? given : await asEdited(store, given)
      for (const outcome of await store.merge(inOrder(page, merging.restampAfter), merging)) {
        counts[outcome] += 1
        if (outcome === 'restamped') counts.applied += 1
      }
      seen += page.length
      options.onProgress?.(seen)
    }
  }
  return counts
}

/** Records that go together: as many as the bounds allow, at least one. */
function* pagesOf(records: readonly StoredRecord[]): Generator<readonly StoredRecord[], void> {
  let start = 0
  let bytes = 0
  for (const [i, record] of records.entries()) {
    const size = record.kind === 'entry' ? record.data.length : 0
    if (i > start && (i - start === PAGE_RECORDS || bytes + size > PAGE_BYTES)) {
      yield records.slice(start, i)
      start = i
      bytes = 0
    }
    bytes += size
  }
  if (start < records.length) yield records.slice(start)
}

/** Those with late ones as they were written: the late ones become writes of the node, one after the other. */
function inOrder(page: readonly StoredRecord[], latest: bigint): readonly StoredRecord[] {
  if (!page.some((record) => versionOf(record) > latest)) return page
  return [...page].sort((a, b) =>
    versionOf(a) < versionOf(b) ? -1 : versionOf(a) > versionOf(b) ? 1 : 0,
  )
}

export interface NewStoreOptions extends RestoreOptions {
  readonly time: TimeSource
  /** Makes the id of the new epoch, and of the node where the backup names none. */
  readonly newId: () => string
  /** Bytes of records kept in memory meanwhile. */
  readonly cacheBytes: number
}

/**
 * Makes the storage of a node from a backup. The node keeps the id it had, and writes under another
 * origin: after the backup it may have written what it does not know of any more. Its change log starts a new
 * epoch that no other node knows, so each one compares with it in full when they meet; its clock goes on
 * above every stamp of the backup. The adapter is closed at the end, also after an error; what is then in
 * the storage no store opens, and the next restore removes it.
 * @throws StateError as `mergeBackup`; `in_use` when the storage holds something.
 */
export async function restoreStorage(
  adapter: StorageAdapter,
  header: BackupHeader | undefined,
  events: AsyncIterable<BackupEvent>,
  options: NewStoreOptions,
): Promise<RestoreCounts> {
  const { newId, cacheBytes, time } = options
  const node = header?.node ?? ''
  const unfinished = new UnfinishedStorage(adapter)
  try {
    await adapter.open()
    await unfinished.begin()
    // Names the node before the store opens for the first time, which then takes it for its own.
    const draw = encodeHash(hashText(newId()))
    // There is room for the generations to come.
    const longest = formatOrigin({ lineage: restoredOrigin(node, draw), generation: 999_999_999 })
    const id = node !== '' && isIdentifier(longest) ? node : newId()
    const origin = restoredOrigin(id, draw)
    await adapter.batch([put('id', id), put(ORIGIN_ROW, beginningRow(origin))])
    const clock = new HybridClock(time)
    const store = new ReplicationStore({ adapter: unfinished, clock, newId, cacheBytes })
    const counts = await fillStore(store, clock, header, events, options)
    await adapter.open()
    await unfinished.finish()
    return counts
  } finally {
    await adapter.close()
  }
}

function put(name: string, value: string): BatchOperation {
  return { type: 'put', key: metaRow(name), value: sealRow(metaRow(name), value) }
}

/** Opens the store, fills it and closes it. */
async function fillStore(
  store: ReplicationStore,
  clock: HybridClock,
  header: BackupHeader | undefined,
  events: AsyncIterable<BackupEvent>,
  options: NewStoreOptions,
): Promise<RestoreCounts> {
  try {
    await store.open()
    clock.restore(header?.clock ?? 0n)
    const whole = { anySize: true, endVouches: options.salvage !== true }
    let isSound = false
    const counts = await mergeBackup(
      store,
      heard(events, (event) => {
        if (event.type === 'end') isSound = isWhole(event.totals)
      }),
      { ...options, ...whole },
    )
    const isAll = isSound && counts.damage === 0 && counts.refused === 0
    // Also writes the clock's place, when there was no record to do it.
    await store.saveMeta(
      new Map([
        ['restored', restoredRow(header, counts)],
        ...(isAll ? lineageOf(store, header) : []),
      ]),
    )
    return counts
  } finally {
    await store.close()
  }
}

async function* heard(
  events: AsyncIterable<BackupEvent>,
  hear: (event: BackupEvent) => void,
): AsyncGenerator<BackupEvent, void, undefined> {
  for await (const event of events) {
    hear(event)
    yield event
  }
}

/** What is not in the backup of what was there would be taken for deleted. */
function isWhole({ damaged, findings }: BackupTotals): boolean {
  return damaged.length === 0 && findings.length === 0
}

function lineageOf(
  store: ReplicationStore,
  header: BackupHeader | undefined,
): Iterable<[string, string]> {
  if (header?.lineage === undefined) return []
  return lineageRows(store, header.lineage, { epoch: header.epoch, seq: header.seq })
}

/** What a node remembers of the backup it was made from; for people. */
function restoredRow(header: BackupHeader | undefined, counts: RestoreCounts): string {
  const { from = 'unknown', createdAt = 'unknown', epoch = '', seq = 0 } = header ?? {}
  return JSON.stringify({ from, createdAt, epoch, seq, records: counts.applied })
}
