/**
 * Incarnations of a node: each opening of its storage is one. It has the id of the epoch that it begins, and
 * the storage keeps it beside those before it. A storage runs in one process at a time, so of one node they form one line. Two
 * openings that name the same one before them were made from two copies of the storage.
 */

/** Meta row: ids, newest first, as JSON. */
export const INCARNATIONS_ROW = 'incarnations'

/** Ids that are kept, and told to leaders. */
export const MAX_INCARNATIONS = 16

/** The row with a new incarnation. @param stored undefined: the ones before are not known. */
export function beginIncarnation(stored: string | undefined, id: string): string {
  return JSON.stringify([id, ...readIncarnations(stored)].slice(0, MAX_INCARNATIONS))
}

/** Of an open store: its own and those before, newest first. */
export function incarnationsOf(store: {
  meta(name: string): string | undefined
}): readonly string[] {
  return readIncarnations(store.meta(INCARNATIONS_ROW))
}

function readIncarnations(stored: string | undefined): readonly string[] {
  return stored === undefined ? [] : (JSON.parse(stored) as string[])
}
