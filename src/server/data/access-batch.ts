/** Batches: every operation passes its checks and filters, then all are planned as one write. */
import { StateError } from '../../core/errors.ts'
import { hasGlob, isGlob } from '../../core/keys/key.ts'
import type { Precondition } from '../../core/data/precondition.ts'
import type { BatchItem, BatchResult } from '../../store/planning/operations.ts'
import { locate } from '../../store/plans/batch.ts'
import {
  type AccessOptions,
  type AccessParts,
  afterWrite,
  assertMergePath,
  assertUnconditional,
  assertWritePath,
  filterWrite,
  globNotAllowed,
  globRequired,
  guardMerge,
  prepareDelete,
} from './access-checks.ts'
import { filteredMerge, untilAnswered } from './filtered-merge.ts'
import type { MergeClaim } from '../turns/merge-room.ts'

/** One operation of a batch; `json` is compact JSON text. */
export type AccessOperation =
  | {
      readonly op: 'set' | 'push' | 'patch'
      readonly path: string
      readonly json: string
      readonly precondition?: Precondition | undefined
    }
  | {
      readonly op: 'delete'
      readonly path: string
      readonly precondition?: Precondition | undefined
    }

/** Does what `DataAccess.batch` says. */
export async function applyBatch(
  parts: AccessParts,
  operations: readonly AccessOperation[],
  options: AccessOptions,
): Promise<BatchResult[]> {
  const items: BatchItem[] = []
  const claim = parts.merges.claim()
  for (const [index, operation] of operations.entries()) {
    try {
      items.push(await prepareItem(parts, operation, index, options, claim))
    } catch (error) {
      throw locate(index, error)
    }
  }
  const results = await untilAnswered(claim, () => parts.store.batch(items, options))
  for (const { op, path } of operations) if (op !== 'delete') await afterWrite(parts, path)
  return results
}

async function prepareItem(
  parts: AccessParts,
  operation: AccessOperation,
  index: number,
  options: AccessOptions,
  claim: MergeClaim,
): Promise<BatchItem> {
  const { path: key, precondition } = operation
  switch (operation.op) {
    case 'set':
      assertWritePath(key)
      if (hasGlob(key)) throw globNotAllowed()
      return {
        op: 'set',
        key,
        json: await filterWrite(parts, key, operation.json, options),
        precondition,
      }
    case 'push':
      assertWritePath(key)
      if (!isGlob(key)) throw globRequired()
      assertUnconditional(key, precondition)
      return { op: 'push', key, json: await filterWrite(parts, key, operation.json, options) }
    case 'patch': {
      assertMergePath(key)
      if (hasGlob(key)) throw new StateError('not_found', 'ooo: not found')
      const guarded = guardMerge(parts, key, operation.json, options)
      if (guarded !== undefined) await guarded
      const filter = (merged: string): string | Promise<string> => {
        const json = filterWrite(parts, key, merged, options)
        // What a filter throws at once is located by the plan, what it rejects with only here.
        if (typeof json === 'string') return json
        return json.catch((error: unknown) => {
          throw locate(index, error)
        })
      }
      const { json } = operation
      const changeBytes = Buffer.byteLength(json)
      return {
        op: 'update',
        key,
        change: filteredMerge(json, parts.jsonBounds, filter, claim),
        changeBytes,
        precondition,
      }
    }
    case 'delete':
      await prepareDelete(parts, key, { ...options, precondition })
      return { op: 'delete', key, precondition }
  }
}
