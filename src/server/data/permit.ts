/** The second stage of a request: whether its caller may. Nothing else decides that about data. */
import { StateError } from '../../core/errors.ts'
import { hasGlob } from '../../core/keys/key.ts'
import type { Caller, DataFilters, DataParts, RequestedWrite } from './request.ts'

/**
 * A merge is permitted by what it makes, when that is known (`filter.ts`). Into an entry that is not there nothing is
 * merged, and who may not write at a key need not learn whether it has one: that is judged here.
 * @throws StateError `not_routed` for what static mode does not open, and what the guard throws.
 * @returns undefined when there is nothing to wait for: a write that need not wait keeps its place.
 */
export function permitWrite(
  parts: DataParts,
  write: RequestedWrite,
  caller: Caller,
): Promise<void> | undefined {
  if (caller === 'process' || write.op === 'update') return undefined
  if (write.op !== 'patch') return permitValue(parts, write, caller)
  const { key, json } = write
  try {
    parts.guard?.(key, json)
    return undefined
  } catch (refusal) {
    return parts.store.get(key).then((entry) => {
      if (entry === undefined) throw refusal
    })
  }
}

/** @throws StateError as `permitWrite`, for a write whose value is known. */
export function permitValue(
  { isStatic, filters, guard }: DataParts,
  write: Exclude<RequestedWrite, { op: 'update' | 'patch' }>,
  caller: Caller,
): undefined {
  if (caller === 'process') return undefined
  const { op, key } = write
  if (isStatic && !filters.permits(op === 'delete' ? 'delete' : 'write', key)) throw notRouted(key)
  guard?.(key, op === 'delete' ? undefined : write.json)
  return undefined
}

/** @throws StateError `not_routed` for what static mode does not open. */
export function permitRead({ isStatic, filters }: DataParts, key: string, caller: Caller): void {
  if (isStatic && caller === 'client') assertReadable(filters, key)
}

/**
 * Throws the refusal of static mode (`filters` undefined: it is off) when neither a list nor an object at `key` may be read.
 * Single keys may be read when either is opened, lists only when lists are.
 */
export function assertReadable(
  filters: Pick<DataFilters, 'permits'> | undefined,
  key: string,
): void {
  if (filters === undefined || filters.permits('read-list', key)) return
  if (!filters.permits('read-object', key)) {
    throw new StateError('not_routed', 'filters: route not defined')
  }
  if (hasGlob(key)) throw notRouted(key)
}

function notRouted(key: string): StateError {
  return new StateError('not_routed', `filters: route not defined, key:${key}`)
}
