/**
 * Conditions on the entry a write replaces: compare-and-set. The version of an entry is the stamp of its
 * last change (`versionOf`); each write gives a key a version it never had before.
 */

import { StateError } from '../errors.ts'
import { type Entry, versionOf } from './entry.ts'

/**
 * What must hold at the moment of the write. `absent`: there is no entry. `present`: there is one.
 * `version`: it is exactly this one. `any-of`, `none-of`: its version is, or is not, listed (an
 * absent key satisfies `none-of` only). `all`: each of these.
 */
export type Precondition =
  | { readonly kind: 'absent' }
  | { readonly kind: 'present' }
  | { readonly kind: 'version'; readonly version: bigint }
  | { readonly kind: 'any-of'; readonly versions: readonly bigint[] }
  | { readonly kind: 'none-of'; readonly versions: readonly bigint[] }
  | { readonly kind: 'all'; readonly conditions: readonly Precondition[] }

/** Whether `condition` holds for the entry of a key, undefined when there is none. */
export function holds(condition: Precondition, current: Entry | undefined): boolean {
  const version = current === undefined ? undefined : versionOf(current)
  switch (condition.kind) {
    case 'absent':
      return version === undefined
    case 'present':
      return version !== undefined
    case 'version':
      return version === condition.version
    case 'any-of':
      return version !== undefined && condition.versions.includes(version)
    case 'none-of':
      return version === undefined || !condition.versions.includes(version)
    case 'all':
      return condition.conditions.every((each) => holds(each, current))
  }
}

/** @throws StateError `precondition_failed` naming the key's version, unless the condition holds. */
export function assertPrecondition(
  condition: Precondition,
  key: string,
  current: Entry | undefined,
): void {
  if (holds(condition, current)) return
  const state = current === undefined ? 'is absent' : `is at version ${versionOf(current)}`
  throw new StateError('precondition_failed', `storage: precondition failed, key "${key}" ${state}`)
}
