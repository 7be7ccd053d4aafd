/**
 * One batch in the making. Operations are planned one after the other against the committed state
 * overlaid with what earlier operations of the same batch decided; the draft then yields the rows
 * to write atomically and the commits to announce once they are durable.
 */
import type { Change, Commit, StoredRecord } from '../core/entry.ts'
import { matchKey } from '../core/key.ts'
import type { BatchOperation } from '../storage-adapter.ts'
import type { Mirror, Slot } from './mirror.ts'
import { encodeRecord, logRow, metaRow, outboxRow, recordRow } from './rows.ts'

/** What an operation decided: slots and meta rows to write, and where the change came from. */
export interface Plan {
  readonly slots: readonly { readonly record: StoredRecord; readonly owedTo: string | undefined }[]
  /** Slots whose record stays but whose debt changes. */
  readonly debts?: readonly Slot[]
  readonly meta?: ReadonlyMap<string, string>
  readonly source?: string
}

export class Draft {
  readonly #mirror: Mirror
  readonly #overlay = new Map<string, Slot>()
  readonly #meta = new Map<string, string>()
  readonly #commits: { commit: Commit | undefined; slots: Slot[] }[] = []
  #seq: number

  constructor(mirror: Mirror, lastSeq: number) {
    this.#mirror = mirror
    this.#seq = lastSeq
  }

  /** The greatest seq this draft has given out. */
  get seq(): number {
    return this.#seq
  }

  slot(key: string): Slot | undefined {
    return this.#overlay.get(key) ?? this.#mirror.slot(key)
  }

  /** Keys matching a glob before this batch, or written in it. */
  matching(glob: string): string[] {
    const keys = new Set(this.#mirror.list(glob).map((entry) => entry.key))
    for (const key of this.#overlay.keys()) if (matchKey(glob, key)) keys.add(key)
    return [...keys]
  }

  /** Takes one operation's decisions into the batch. */
  add(plan: Plan): void {
    const slots: Slot[] = []
    const changes: Change[] = []
    for (const { record, owedTo } of plan.slots) {
      const before = this.slot(record.key)?.record
      const slot = { record, seq: ++this.#seq, owedTo }
      this.#overlay.set(record.key, slot)
      slots.push(slot)
      changes.push({
        key: record.key,
        before: before?.kind === 'entry' ? before : undefined,
        after: record,
      })
    }
    for (const slot of plan.debts ?? []) {
      this.#overlay.set(slot.record.key, slot)
      slots.push(slot)
    }
    for (const [name, value] of plan.meta ?? []) this.#meta.set(name, value)
    const commit = { seq: this.#seq, changes, source: plan.source }
    this.#commits.push({ commit: changes.length > 0 ? commit : undefined, slots })
  }

  /** The rows of the whole batch; empty when nothing changed. */
  rows(clock: bigint): BatchOperation[] {
    const rows: BatchOperation[] = []
    for (const [key, slot] of this.#overlay) {
      const before = this.#mirror.slot(key)
      if (before?.owedTo !== undefined) rows.push({ type: 'del', key: outboxRow(before.seq) })
      if (before?.record !== slot.record) {
        if (before !== undefined) rows.push({ type: 'del', key: logRow(before.seq) })
        rows.push({ type: 'put', key: recordRow(key), value: encodeRecord(slot.record, slot.seq) })
        rows.push({ type: 'put', key: logRow(slot.seq), value: key })
      }
      if (slot.owedTo !== undefined)
        rows.push({ type: 'put', key: outboxRow(slot.seq), value: key })
    }
    for (const [name, value] of this.#meta) {
      rows.push({ type: 'put', key: metaRow(name), value })
    }
    if (rows.length > 0) {
      rows.push({ type: 'put', key: metaRow('head'), value: `${this.#seq} ${clock}` })
    }
    return rows
  }

  /** Per operation, in order: the slots to apply and the commit to announce. */
  get commits(): readonly {
    readonly commit: Commit | undefined
    readonly slots: readonly Slot[]
  }[] {
    return this.#commits
  }

  get meta(): ReadonlyMap<string, string> {
    return this.#meta
  }
}
