/** What a table should hold, in plain memory: the same operations, told the stamps the table gave. */

import type { TableEntry } from '../../postgres/index.ts'
import { matchKey } from '../../src/core/keys/key.ts'

export class TableModel {
  readonly #entries = new Map<string, TableEntry>()
  /** Keys whose delete is remembered. */
  readonly #deleted = new Set<string>()

  set(key: string, value: string, stamp: bigint): void {
    const before = this.#entries.get(key)
    this.put({
      key,
      value,
      created: before?.created ?? stamp,
      updated: before === undefined ? 0n : stamp,
    })
  }

  put(entry: TableEntry): void {
    this.#entries.set(entry.key, entry)
    this.#deleted.delete(entry.key)
  }

  /** Entries with stamps of long ago: a remembered delete is newer than they are. */
  importOld(entries: readonly TableEntry[]): number {
    const before = this.#entries.size
    for (const entry of entries) {
      if (!this.#entries.has(entry.key) && !this.#deleted.has(entry.key)) this.put(entry)
    }
    return this.#entries.size - before
  }

  delete(path: string | undefined): number {
    const keys = [...this.#entries.keys()].filter(
      (key) => path === undefined || matchKey(path, key),
    )
    for (const key of keys) {
      this.#entries.delete(key)
      this.#deleted.add(key)
    }
    return keys.length
  }

  forgetDeletes(): void {
    this.#deleted.clear()
  }

  /** Newest first. */
  list(path?: string): TableEntry[] {
    const all = [...this.#entries.values()]
    return all
      .filter(({ key }) => path === undefined || matchKey(path, key))
      .sort((a, b) => compare(b, a))
  }

  /** Newest first, created within both bounds. */
  range(path: string, from: bigint, to: bigint): TableEntry[] {
    return this.list(path).filter(({ created }) => created >= from && created <= to)
  }
}

/** By created, then key. */
export function compare(a: TableEntry, b: TableEntry): number {
  if (a.created !== b.created) return a.created < b.created ? -1 : 1
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}
