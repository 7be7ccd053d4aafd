/**
 * One batch in the making. Operations are planned one after the other against the committed state
 * overlaid with what earlier operations of the same batch decided; the draft then yields the rows
 * to write atomically and the commits to announce once they are durable.
 */

import { contextFrom } from '../../core/data/causal-context.ts'
import { type Digest, DigestSum } from '../../core/data/digest.ts'
import {
  type Change,
  type Commit,
  isSameChange,
  marksOf,
  type StoredRecord,
  withMarks,
} from '../../core/data/entry.ts'
import { unionMarks } from '../../core/data/marks.ts'
import { matchKey } from '../../core/keys/key.ts'
import type { BatchOperation } from '../../core/ports/storage-adapter.ts'
import type { Steps } from '../../core/steps.ts'
import { encodeHead } from '../format/head.ts'
import { ORIGIN_ROW } from '../format/identity.ts'
import {
  damageRow,
  encodePending,
  encodeRecord,
  logRow,
  metaRow,
  outboxRow,
  recordRow,
  sealRow,
  timeRow,
} from '../format/rows.ts'
import type { KeyState, KeyStateChange, StateView } from '../state/state.ts'
import { type SupersededChange, supersededOperations } from '../state/superseded-writes.ts'

export interface PlannedKeyState {
  readonly record: StoredRecord
  readonly pendingFor: string | undefined
  /** The record is not quite what its sender sent. */
  readonly isMerged?: boolean
}

/** What an operation decided: key states and meta rows to write, and where the change came from. */
export interface Plan {
  readonly keyStates: readonly PlannedKeyState[]
  /** The records were checked one by one. */
  readonly isChecked?: true
  /** Key states whose record stays but whose outbox entry changes. */
  readonly outboxUpdates?: readonly KeyState[]
  /** Meta rows to write; one with an empty value is removed. */
  readonly meta?: ReadonlyMap<string, string>
  /** Tombstones that nobody needs any more: their rows go, and nobody is told. */
  readonly removals?: readonly KeyState[]
  /** Changes that lost before their leader had them, and such that it has been shown. */
  readonly superseded?: SupersededChange
  /** Other rows to write in the same batch. */
  readonly rows?: readonly BatchOperation[]
  readonly source?: string
  /** Subscribers and hooks are not to hear of it. */
  readonly silent?: boolean
}

/** One operation of a batch: what to apply, and the commit to announce if anything changed. */
export interface Step {
  readonly commit: Commit | undefined
  readonly changes: readonly KeyStateChange[]
  readonly removals: readonly KeyState[]
  readonly superseded: SupersededChange | undefined
}

export interface DraftOptions {
  readonly view: StateView
  readonly lastSeq: number
  readonly digest: Digest
  /** False while `digest` counts changes only: it is not written then. */
  readonly isDigestKnown: boolean
  /** Whether the time index is kept. */
  readonly isIndexed: boolean
  readonly isDamaged: (key: string) => boolean
  /** @throws StateError for a record that may not be stored over `before`. */
  readonly assertStorable: (record: StoredRecord, before: StoredRecord | undefined) => void
  /** The part of a change of the lost rows that is done. */
  readonly admitSuperseded: (change: SupersededChange) => Required<SupersededChange>
}

export class Draft {
  readonly #options: DraftOptions
  /** undefined: removed. */
  readonly #overlay = new Map<string, KeyState | undefined>()
  readonly #meta = new Map<string, string>()
  readonly #rows: BatchOperation[] = []
  readonly #steps: Step[] = []
  #dataLength = 0
  #seq: number

  constructor(options: DraftOptions) {
    this.#options = options
    this.#seq = options.lastSeq
  }

  /** The greatest seq this draft has given out. */
  get seq(): number {
    return this.#seq
  }

  /** Characters of the data of all records so far. */
  get dataLength(): number {
    return this.#dataLength
  }

  keyState(key: string): KeyState | undefined {
    return this.#overlay.has(key) ? this.#overlay.get(key) : this.#options.view.keyState(key)
  }

  /** Keys matching a glob before this batch, or written in it; ascending. */
  matching(glob: string): string[] {
    const keys = new Set(this.#options.view.matching(glob))
    for (const key of this.#overlay.keys()) if (matchKey(glob, key)) keys.add(key)
    return [...keys].sort()
  }

  /** @throws StateError for a record that may not be stored in the place of what is there. */
  assertStorable(record: StoredRecord): void {
    this.#options.assertStorable(record, this.keyState(record.key)?.record)
  }

  /** Takes one operation's decisions into the batch, all or none. @throws StateError as `assertStorable`. */
  *adding(plan: Plan): Steps<void> {
    if (plan.isChecked !== true) {
      for (const { record } of plan.keyStates) {
        this.assertStorable(record)
        yield
      }
    }
    const steps: KeyStateChange[] = []
    const changes: Change[] = []
    for (const { record: planned, pendingFor, isMerged } of plan.keyStates) {
      const before = this.keyState(planned.key)
      const record = inheritMarks(planned, before?.record)
      const causalContext = pendingFor === undefined ? undefined : contextFrom(before)
      const keyState = { record, seq: ++this.#seq, pendingFor, causalContext }
      this.#overlay.set(record.key, keyState)
      if (record.kind === 'entry') this.#dataLength += record.data.length
      steps.push({ keyState, before })
      changes.push({
        key: record.key,
        before: before?.record.kind === 'entry' ? before.record : undefined,
        replaced: before?.record,
        after: record,
        ...(isMerged === true ? { isMerged } : {}),
        ...(differsInFieldsOnly(record, before?.record) ? { isInternal: true } : {}),
      })
      yield
    }
    for (const update of plan.outboxUpdates ?? []) {
      const before = this.keyState(update.record.key)
      // An outbox entry that is new is not one of the maker's: the leader may have had the record before.
      const keyState =
        before?.pendingFor === update.pendingFor ? update : { ...update, causalContext: undefined }
      steps.push({ keyState, before })
      this.#overlay.set(keyState.record.key, keyState)
    }
    const removals = plan.removals ?? []
    for (const { record } of removals) this.#overlay.set(record.key, undefined)
    for (const [name, value] of plan.meta ?? []) this.#meta.set(name, value)
    const superseded =
      plan.superseded === undefined ? undefined : this.#options.admitSuperseded(plan.superseded)
    if (superseded !== undefined) this.#rows.push(...supersededOperations(superseded))
    this.#rows.push(...(plan.rows ?? []))
    const commit: Commit = {
      seq: this.#seq,
      changes,
      source: plan.source,
      ...(plan.silent === true ? { silent: true } : {}),
    }
    const announced = changes.length > 0 ? commit : undefined
    this.#steps.push({ commit: announced, changes: steps, removals, superseded })
  }

  /** The row of the origin that the batch was written under; undefined: the one on disk says it. */
  setOrigin(row: string | undefined): void {
    if (row !== undefined) this.#meta.set(ORIGIN_ROW, row)
  }

  /** The rows of the whole batch, and the digest they lead to. None when nothing changed, but for a barrier. */
  *rows(clock: bigint, isBarrier: boolean): Steps<{ rows: BatchOperation[]; digest: Digest }> {
    const rows: BatchOperation[] = [...this.#rows]
    const digest = new DigestSum(this.#options.digest)
    for (const [key, keyState] of this.#overlay) {
      yield
      const before = this.#options.view.keyState(key)
      if (before?.pendingFor !== undefined) rows.push({ type: 'del', key: outboxRow(before.seq) })
      if (keyState === undefined) {
        if (before === undefined) continue
        digest.remove(before.record)
        rows.push({ type: 'del', key: recordRow(key) }, { type: 'del', key: logRow(before.seq) })
        continue
      }
      if (before?.record !== keyState.record) {
        if (before !== undefined) digest.remove(before.record)
        digest.add(keyState.record)
        this.#recordRows(rows, before, keyState)
      }
      if (keyState.pendingFor !== undefined) {
        rows.push(put(outboxRow(keyState.seq), encodePending(key, keyState.causalContext)))
      }
    }
    for (const [name, value] of this.#meta) {
      rows.push(value === '' ? { type: 'del', key: metaRow(name) } : put(metaRow(name), value))
    }
    if (rows.length > 0 || isBarrier) {
      const known = this.#options.isDigestKnown ? digest.value : undefined
      const head = encodeHead({ seq: this.#seq, clock, digest: known })
      rows.push(put(metaRow('head'), head))
    }
    return { rows, digest: digest.value }
  }

  /** Per operation, in order. */
  get steps(): readonly Step[] {
    return this.#steps
  }

  get meta(): ReadonlyMap<string, string> {
    return this.#meta
  }

  #recordRows(
    rows: BatchOperation[],
    before: KeyState | undefined,
    { record, seq }: KeyState,
  ): void {
    const { key } = record
    if (before !== undefined) rows.push({ type: 'del', key: logRow(before.seq) })
    rows.push({ type: 'put', key: recordRow(key), value: encodeRecord(record, seq) })
    rows.push(put(logRow(seq), key))
    if (this.#options.isDamaged(key)) rows.push({ type: 'del', key: damageRow(key) })
    if (!this.#options.isIndexed) return
    const was = before?.record.kind === 'entry' ? timeRow(before.record) : undefined
    const is = record.kind === 'entry' ? timeRow(record) : undefined
    if (was === is) return
    if (was !== undefined) rows.push({ type: 'del', key: was })
    if (is !== undefined) rows.push(put(is, ''))
  }
}

/** Marks belong to the key: whatever is written under it has those of what was there. */
function inheritMarks(record: StoredRecord, before: StoredRecord | undefined): StoredRecord {
  const known = marksOf(before)
  return known === undefined ? record : withMarks(record, unionMarks(known, marksOf(record)))
}

function differsInFieldsOnly(record: StoredRecord, before: StoredRecord | undefined): boolean {
  if (before === undefined || record.fields === before.fields) return false
  return isSameChange(record, before)
}

/** Takes the meta rows of a batch into those of before. */
export function applyMeta(meta: Map<string, string>, changed: ReadonlyMap<string, string>): void {
  for (const [name, value] of changed) {
    if (value === '') meta.delete(name)
    else meta.set(name, value)
  }
}

function put(key: string, value: string): BatchOperation {
  return { type: 'put', key, value: sealRow(key, value) }
}
