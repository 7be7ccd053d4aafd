/** What a reader of a backup meets, in order. */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import type { BackupFormat, BackupHeader, BackupTotals } from './header.ts'

/** Something in a backup that is not as it was written. */
export interface BackupDamage {
  /** `wrong_file`: no backup at all. `truncated`: it ends too early. `changed`: bytes are not what they were. */
  readonly kind: 'wrong_file' | 'truncated' | 'changed'
  /** Offset in the file, bytes. */
  readonly position: number
  /** One sentence for people: what is damaged, where, and what that means. */
  readonly text: string
}

export type BackupEvent =
  | { readonly type: 'header'; readonly format: BackupFormat; readonly header: BackupHeader }
  /** Records of a block, by key, ascending, that are as they were written. */
  | {
      readonly type: 'records'
      readonly position: number
      readonly records: readonly StoredRecord[]
      /** They are lines without a checksum of their own: only the end can tell whether they were changed. */
      readonly isUnsealed?: true
    }
  | { readonly type: 'damage'; readonly damage: BackupDamage }
  /** The totals as written; when nothing was damaged they are those of what was read. */
  | { readonly type: 'end'; readonly totals: BackupTotals }

export interface ReadBackupOptions {
  /**
   * Greatest block or line, bytes; one beyond it counts as damaged. It bounds the memory that a file can
   * make its reader use. Default 512 MiB, which is more than any record has.
   */
  readonly maxBlockBytes?: number
  /** Takes lines of records without a header and an end, as parts of a jsonl backup. Default false. */
  readonly partial?: boolean
}

/** A damage as an event. */
export function damageEvent(
  kind: BackupDamage['kind'],
  position: number,
  text: string,
): BackupEvent {
  return { type: 'damage', damage: { kind, position, text } }
}
