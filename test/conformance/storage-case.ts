/** What the storage suite is given by each adapter, and the short words its cases share. */

import { afterEach, beforeEach } from 'vitest'
import type { BatchOperation, Row, RowRange, StorageAdapter } from '../../src/storage-adapter.ts'

/** One adapter over an empty database, not opened yet. */
export interface StorageCase {
  readonly adapter: StorageAdapter
  /** A second adapter object over the same rows, not opened; only for persistent adapters. */
  reopen?(): StorageAdapter
  /** Frees what `create` took; the suite has closed the adapters. */
  cleanup(): Promise<void>
}

export interface StorageFactory {
  readonly name: string
  create(): Promise<StorageCase>
}

/** Every row of a scan. */
export async function rowsOf(adapter: StorageAdapter, range?: RowRange): Promise<Row[]> {
  const rows: Row[] = []
  for await (const row of adapter.iterate(range)) rows.push(row)
  return rows
}

export function put(key: string, value: string): BatchOperation {
  return { type: 'put', key, value }
}

export function del(key: string): BatchOperation {
  return { type: 'del', key }
}

/** Gives each test an opened adapter of its own, and closes it after. */
export function useStorage(factory: StorageFactory): () => StorageAdapter {
  let current: StorageCase | undefined
  beforeEach(async () => {
    current = await factory.create()
    await current.adapter.open()
  })
  afterEach(async () => {
    await current?.adapter.close()
    await current?.cleanup()
    current = undefined
  })
  return () => {
    if (current === undefined) throw new Error('no storage: called outside of a test')
    return current.adapter
  }
}
