/**
 * Which storage a leader was last met with. When that is lost, the leader comes back under the same address with
 * another one, which does not know what was pushed to the first. So of what was in the outbox by then, this node
 * no longer says what its makers had seen: it may be a repetition, of which others have seen the original, and
 * is not to be judged as new (see `src/store/conflicts/detect-conflicts.ts`). Places in the log are compared, and no stamps: a
 * clock that is wrong on either side changes nothing.
 */
import type { Welcome } from '../../src/core/wire/protocol.ts'
import type { SequencedRow } from '../../src/store/format/rows.ts'
import { progressRow } from '../../src/store/lineage/link-rows.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { storageRow } from '../progress/link-progress.ts'

export interface LeaderStorageOptions {
  readonly store: Pick<ReplicationStore, 'meta' | 'head'>
  readonly leader: string
}

interface Known {
  readonly id: string
  /** What has a place up to this seq may have been pushed to a storage of before. */
  readonly through: number
}

export class LeaderStorage {
  readonly #options: LeaderStorageOptions
  #known: Known | undefined

  constructor(options: LeaderStorageOptions) {
    this.#options = options
    const [id, through] = options.store.meta(storageRow(options.leader))?.split(' ') ?? []
    if (id !== undefined) this.#known = { id, through: Number(through) }
  }

  /** The leader says who it is. @returns meta rows to store; undefined when that is known. */
  welcomed({ id, continues }: Pick<Welcome, 'id' | 'continues'>): Map<string, string> | undefined {
    if (this.#known?.id === id) return undefined
    const { store, leader } = this.#options
    // Earlier builds met leaders and did not note with which storage.
    const isFirst = this.#known === undefined && store.meta(progressRow(leader)) === undefined
    this.#known = { id, through: isFirst || continues ? 0 : store.head }
    return new Map([[storageRow(leader), `${id} ${this.#known.through}`]])
  }

  /** Rows of the outbox as they may be told to the leader. */
  sendable(rows: readonly SequencedRow[]): readonly SequencedRow[] {
    const through = this.#known?.through ?? 0
    return rows.map((row) => (row.seq <= through ? { ...row, causalContext: undefined } : row))
  }
}
