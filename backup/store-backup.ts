/** The contents of an open store, as a backup takes them. */
import type { HybridClock } from '../src/core/data/clock.ts'
import { type Digest, DigestSum, sameDigest } from '../src/core/data/digest.ts'
import type { StoredRecord } from '../src/core/data/entry.ts'
import type { TimeSource } from '../src/core/ports/time.ts'
import { VERSION } from '../src/core/version.ts'
import { beginLineage } from '../src/store/lineage/lineage.ts'
import type { ReplicationStore } from '../src/store/replication-store.ts'
import type { BackupFlaws, BackupHeader } from './format/header.ts'

/** Damaged keys, and findings, that are named. */
const MAX_DAMAGED = 100
const MAX_FINDINGS = 20

export interface StoreBackup {
  readonly header: BackupHeader
  /** Exactly those as of the header's `seq`, by key, ascending. */
  readonly records: AsyncIterable<StoredRecord>
  /** Asked when all records have been read. */
  flaws(): BackupFlaws
}

/** Reads nothing yet but the header; writes to the store go on meanwhile and after. */
export async function backupOfStore(
  store: ReplicationStore,
  options: {
    /** The clock that stamps the store's writes. */
    readonly clock: HybridClock
    readonly time: TimeSource
    readonly scopes: readonly string[]
    /** Of the header. Default: the store's, which is the one of this opening. */
    readonly epoch?: string | undefined
    /** The digest that the records must have. Default: not compared, as the store does that itself. */
    readonly expected?: Digest | undefined
  },
): Promise<StoreBackup> {
  const { clock, time, scopes, epoch = store.epoch, expected } = options
  const lineage = await beginLineage(store)
  const { seq, records } = await store.scan()
  const header: BackupHeader = {
    node: store.id,
    from: `ooo-cluster ${VERSION}`,
    epoch,
    seq,
    clock: clock.last,
    createdAt: new Date(Number(time.wallNs() / 1_000_000n)).toISOString(),
    scopes,
    lineage: await lineage(),
  }
  const sum = new DigestSum()
  const flaws = (): BackupFlaws => {
    const findings = [...store.damageFindings]
    if (expected !== undefined && !sameDigest(sum.value, expected)) {
      findings.push(`${sum.value.count} records are readable where ${expected.count} were written`)
    }
    return {
      damaged: store.damaged().slice(0, MAX_DAMAGED),
      findings: [...new Set(findings)].slice(0, MAX_FINDINGS),
    }
  }
  return { header, records: expected === undefined ? records : summed(records, sum), flaws }
}

async function* summed(
  records: AsyncIterable<StoredRecord>,
  sum: DigestSum,
): AsyncGenerator<StoredRecord, void, undefined> {
  for await (const record of records) {
    sum.add(record)
    yield record
  }
}
