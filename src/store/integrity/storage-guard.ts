/**
 * Watches over the integrity of an open storage: keeps the digest of all records, checks it against
 * what is there, and makes what is found damaged known, durably, under a new epoch, so that every
 * peer is compared with in full and brings back what it holds.
 */
import {
  addDigests,
  type Digest,
  DigestSum,
  EMPTY_DIGEST,
  sameDigest,
} from '../../core/data/digest.ts'
import { errorText } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type {
  BatchOperation,
  Row,
  RowRange,
  StorageAdapter,
} from '../../core/ports/storage-adapter.ts'
import type { CancelTimer, TimeSource } from '../../core/ports/time.ts'
import {
  damageRow,
  decodeRecord,
  encodeRecord,
  LOG_ROWS,
  nameOfRow,
  RECORD_ROWS,
  recordRow,
  sealRow,
  TIME_ROWS,
  unsealRow,
} from '../format/rows.ts'
import { beginEpoch } from '../log/epochs.ts'
import type { Plan } from '../planning/draft.ts'
import type { Planner } from '../planning/planner.ts'
import { Damage } from './damage.ts'
import { FileRepair } from './file-repair.ts'
import { compareWithLog } from './integrity.ts'

export interface StorageGuardOptions {
  readonly adapter: StorageAdapter
  readonly newId: () => string
  readonly logger: Logger
  readonly head: () => number
  /** Runs an operation in its turn. */
  readonly run: <Result>(planner: Planner<Result>) => Promise<Result>
  /** Runs `take` when no batch is under way. */
  readonly betweenBatches: <T>(take: () => T) => Promise<T>
  /** Counts again what is pending. @returns rows of the outbox that stand for nothing. */
  readonly recount: () => Promise<readonly string[]>
  /** Without it, what fails is not tried again by itself. */
  readonly time: TimeSource | undefined
  /** Hears of a key whose record on disk does not match its checksum. */
  readonly unreadable: (key: string) => void
  /** Whether memory has the record of this key whole. */
  readonly isInMemory: (key: string) => boolean
  /** True while applied changes are not in the adapter. */
  readonly isBehind: () => boolean
}

/** Milliseconds before what failed is tried again. */
const RETRY_MS = 1000

export class StorageGuard {
  /** Of all records; while it is not known, of the changes since it is being found out. */
  digest: Digest = EMPTY_DIGEST
  readonly #options: StorageGuardOptions
  readonly #files: FileRepair
  #isRepairing = false
  readonly #listeners = new Set<() => void>()
  #isDigestKnown = true
  #damage = new Damage()
  /** Found, and not declared yet. */
  #condemned: string[] = []
  /** Of those, the ones whose row may have been written again since it was read. */
  readonly #suspects = new Set<string>()
  /** Being written again. */
  readonly #rewriting = new Set<string>()
  #work: Promise<void> = Promise.resolve()
  #isStopped = false
  readonly #retries = new Set<CancelTimer>()

  constructor(options: StorageGuardOptions) {
    this.#options = options
    this.#files = new FileRepair(options)
  }

  get damage(): Damage {
    return this.#damage
  }

  get isDigestKnown(): boolean {
    return this.#isDigestKnown
  }

  /** @param digest undefined when the storage did not tell. */
  begin(damage: Damage, digest: Digest | undefined): void {
    this.#damage = damage
    this.#isDigestKnown = digest !== undefined
    this.digest = digest ?? EMPTY_DIGEST
    this.#condemned = []
    this.#suspects.clear()
    this.#files.begin()
    this.#isRepairing = false
    this.#isStopped = false
  }

  /** Waits for what is under way; nothing is begun any more. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const cancel of this.#retries) cancel()
    this.#retries.clear()
    await this.#work
  }

  onDamage(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Reads every record in the background and compares with the digest, or finds it out. */
  verify(): void {
    this.#then(() => this.#verify())
  }

  /** While it is there: rows that should be there may be absent; resolves when they are named. */
  get doubt(): Promise<void> | undefined {
    return this.#files.doubt
  }

  /** The adapter met damaged bytes. */
  filesDamaged(): void {
    if (this.#isRepairing || this.#isStopped) return
    this.#isRepairing = true
    this.#then(async () => {
      try {
        await this.#repairAndDeclare()
      } finally {
        this.#isRepairing = false
      }
    })
  }

  /**
   * Reads the rows of the change log and the time index in the background, which no opening reads in full, in
   * a storage whose files can be repaired.
   */
  checkIndexes(): void {
    const { adapter } = this.#options
    if (adapter.repair === undefined) return
    this.#then(async () => {
      if (await this.#isReadable(LOG_ROWS)) {
        if (!(await this.#isReadable(TIME_ROWS))) await this.#repairAndDeclare()
      } else await this.#reconcile('rows of the change log do not match their checksums')
    })
  }

  /** These keys are not to be served any more. @returns whether any of them is new. */
  condemn(keys: readonly string[]): boolean {
    const found = keys.filter((key) => this.#damage.add(key))
    if (found.length === 0) return false
    this.#condemned.push(...found)
    this.#isDigestKnown = false
    this.#then(async () => {
      if (this.#condemned.length > 0) await this.#repair()
      await this.#declare()
    })
    return true
  }

  /** Condemns a key for a row that was read some time ago; what is whole by now is served again. */
  suspect(key: string): void {
    if (!this.#damage.has(key)) this.#suspects.add(key)
    this.condemn([key])
  }

  /** Writes the record of this key again, from memory; what is not there any more is condemned. */
  rewrite(key: string): void {
    if (this.#rewriting.has(key)) return
    this.#rewriting.add(key)
    const write = async (): Promise<void> => {
      const isWritten = await this.#options.run({
        reads: () => ({ keys: [key] }),
        plan(context) {
          const keyState = context.keyState(key)
          if (keyState === undefined) return { plan: undefined, result: false }
          const value = encodeRecord(keyState.record, keyState.seq)
          const rows = [{ type: 'put', key: recordRow(key), value } as const]
          return { plan: { keyStates: [], rows }, result: true }
        },
      })
      if (isWritten) this.#options.logger.warn('a damaged record was written again', { key })
    }
    this.#then(() => write().finally(() => this.#rewriting.delete(key)))
  }

  /** Whether the record of this key waits to be written again from memory. */
  isRewriting(key: string): boolean {
    return this.#rewriting.has(key)
  }

  /** Does one thing after the other; what fails is tried again after a pause. */
  #then(work: () => Promise<void>): void {
    this.#work = this.#work
      .then(() => (this.#isStopped ? undefined : work()))
      .catch((error: unknown) => {
        if (this.#isStopped) return
        this.#options.logger.error('the storage could not be checked', { error: errorText(error) })
        this.#retry(work)
      })
  }

  #retry(work: () => Promise<void>): void {
    const cancel = this.#options.time?.after(RETRY_MS, () => {
      if (cancel !== undefined) this.#retries.delete(cancel)
      this.#then(work)
    })
    if (cancel !== undefined) this.#retries.add(cancel)
  }

  async #verify(): Promise<void> {
    const { adapter, betweenBatches, isBehind } = this.#options
    const start = await betweenBatches(() => {
      if (isBehind()) return undefined
      if (!this.#isDigestKnown) this.digest = EMPTY_DIGEST
      return { rows: adapter.iterate(RECORD_ROWS), expected: this.digest }
    })
    if (start === undefined) return
    const found = await this.#tally(start.rows)
    if (found === undefined || this.#condemned.length > 0) return
    // Rows that are being written again were not counted.
    if (this.#rewriting.size > 0) return this.verify()
    if (!this.#isDigestKnown) {
      this.digest = addDigests(found, this.digest)
      this.#isDigestKnown = true
      return
    }
    if (sameDigest(found, start.expected)) return
    const sentence = `${found.count} records are readable where ${start.expected.count} were written`
    await this.#reconcile(sentence)
  }

  /** Something is wrong: brings back what can be, puts the log in order, and names what is lost. */
  async #reconcile(sentence: string): Promise<void> {
    const { adapter, run, isInMemory } = this.#options
    if (await this.#repairAndDeclare()) return
    this.#damage.note(sentence)
    const findings = await compareWithLog(adapter)
    await run(planRows({ rows: findings.repairs }))
    this.#isDigestKnown = false
    const lost = [...findings.damaged].filter((key) => !isInMemory(key))
    for (const key of findings.damaged) if (isInMemory(key)) this.rewrite(key)
    if (!this.condemn(lost)) await this.#declare()
  }

  /** True when every row of a range matches its checksum, as far as was read before a stop. */
  async #isReadable(range: RowRange): Promise<boolean> {
    for await (const [row, sealed] of this.#options.adapter.iterate(range)) {
      if (this.#isStopped) return true
      if (unsealRow(row, sealed) === undefined) return false
    }
    return true
  }

  async #repairAndDeclare(): Promise<boolean> {
    const isDamaged = await this.#repair()
    if (isDamaged) await this.#declare()
    return isDamaged
  }

  /** Has the adapter repair its files. True when something was damaged. */
  async #repair(): Promise<boolean> {
    const { isInMemory, run } = this.#options
    const findings = await this.#files.run(({ damaged, sentence }) => {
      this.#damage.note(sentence)
      for (const key of damaged) {
        if (isInMemory(key)) this.rewrite(key)
        // Suspected before: its row is whole now, but older than it should be.
        else if (!this.#damage.add(key)) this.#suspects.delete(key)
        else {
          this.#condemned.push(key)
          this.#isDigestKnown = false
        }
      }
    })
    if (findings === undefined) return false
    await run(planRows({ rows: findings.repairs }))
    return true
  }

  /** undefined when stopped before the end. */
  async #tally(rows: AsyncIterable<Row>): Promise<Digest | undefined> {
    const sum = new DigestSum()
    for await (const [row, value] of rows) {
      if (this.#isStopped) return undefined
      const key = nameOfRow(row)
      if (this.#damage.has(key)) continue
      const decoded = decodeRecord(key, value)
      if (decoded === undefined) this.#options.unreadable(key)
      else sum.add(decoded.record)
    }
    return sum.value
  }

  /** Looks again at what was suspected. Peers are compared with all the same: merges took it for absent. */
  async #acquit(keys: readonly string[]): Promise<void> {
    const asked = keys.filter((key) => this.#suspects.has(key))
    const values = await this.#options.adapter.getMany(asked.map(recordRow))
    asked.forEach((key, i) => {
      const value = values[i]
      if (value !== undefined && decodeRecord(key, value) !== undefined) this.#damage.heal(key)
    })
  }

  async #declare(): Promise<void> {
    const { run, newId, head, recount, logger } = this.#options
    const keys = [...this.#condemned]
    await this.#acquit(keys)
    const meta = new Map([['epochs', beginEpoch(undefined, newId(), head())]])
    await run({
      reads: () => ({}),
      plan: () => {
        // A key may have been written again since, or found whole after it was declared.
        const rows = keys.map((key) => damageOperation(key, this.#damage.has(key)))
        return { plan: { keyStates: [], meta, rows }, result: undefined }
      },
    })
    logger.error('the storage is damaged; what is intact is served, peers are asked for the rest', {
      findings: this.#damage.sentences.join('; '),
      damagedRecords: this.#damage.keys.length,
      firstKeys: keys.slice(0, 10).join(', '),
    })
    // What was condemned meanwhile has a turn of its own.
    this.#condemned = this.#condemned.slice(keys.length)
    const later = new Set(this.#condemned)
    for (const key of keys) if (!later.has(key)) this.#suspects.delete(key)
    const stale = await recount()
    await run(planRows({ rows: stale.map((key) => ({ type: 'del', key })) }))
    for (const listener of this.#listeners) listener()
    this.verify()
  }
}

function damageOperation(key: string, isDamaged: boolean): BatchOperation {
  const row = damageRow(key)
  if (!isDamaged) return { type: 'del', key: row }
  return { type: 'put', key: row, value: sealRow(row, 'damaged') }
}

function planRows(plan: Pick<Plan, 'rows'>): Planner<void> {
  return {
    reads: () => ({}),
    plan: () => ({ plan: { keyStates: [], ...plan }, result: undefined }),
  }
}
