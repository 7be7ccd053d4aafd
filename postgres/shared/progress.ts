/**
 * How far a node has followed each table, in the node's own storage. Progress holds only while the
 * same tables hold the same keys and the plugin ran in every opening of the store: otherwise changes
 * may have been made that are pending for nobody, and everything has to be sent and compared.
 */
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { TableCursor } from '../tables/row.ts'
import type { SharedScope } from './options.ts'

const PLACEMENT_ROW = 'shared-tables'

/** A place in a table's changes. */
export interface SharedCursor extends TableCursor {
  /**
   * True from reading at the start of the table to its end: only then is it known which keys the
   * table does not hold.
   */
  readonly comparing: boolean
}

const progressRow = (table: string): string => `shared-table/${table}`

/** The meta row that keeps a cursor; written in the same batch as what it stands for. */
export function encodeCursor(
  table: string,
  placementId: string,
  cursor: SharedCursor,
): ReadonlyMap<string, string> {
  return new Map([[progressRow(table), JSON.stringify({ placementId, ...cursor })]])
}

/** The stored cursor; undefined when there is none of this placement. */
export function loadCursor(
  store: ReplicationStore,
  table: string,
  placementId: string,
): SharedCursor | undefined {
  const stored = store.meta(progressRow(table))
  if (stored === undefined) return undefined
  const fields = JSON.parse(stored) as SharedCursor & { placementId: string }
  const { epoch, seq, comparing } = fields
  return fields.placementId === placementId ? { epoch, seq, comparing } : undefined
}

/**
 * Notes the scopes this opening of the store runs with and returns the id of the placement: the stored
 * one when nothing changed since the opening before, else `newId`.
 */
export async function settleScopes(
  store: ReplicationStore,
  scopes: readonly SharedScope[],
  newId: () => string,
): Promise<string> {
  const fingerprint = JSON.stringify(scopes)
  const text = store.meta(PLACEMENT_ROW)
  const stored =
    text === undefined
      ? undefined
      : (JSON.parse(text) as { fingerprint: string; epoch: string; id: string })
  const unbroken =
    stored !== undefined &&
    stored.fingerprint === fingerprint &&
    (stored.epoch === store.previousEpoch || stored.epoch === store.epoch)
  const id = unbroken ? stored.id : newId()
  const placement = JSON.stringify({ fingerprint, epoch: store.epoch, id })
  await store.saveMeta(new Map([[PLACEMENT_ROW, placement]]))
  return id
}
