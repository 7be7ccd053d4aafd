/** What was fetched of a state on disk for one batch. */
import { StateError } from '../core/errors.ts'
import { matchKey } from '../core/key.ts'
import type { Slot, StateView } from './state.ts'

export class FetchedView implements StateView {
  readonly #slots: ReadonlyMap<string, Slot | undefined>

  constructor(slots: ReadonlyMap<string, Slot | undefined>) {
    this.#slots = slots
  }

  slot(key: string): Slot | undefined {
    if (!this.#slots.has(key)) {
      throw new StateError('storage_failed', `storage: key "${key}" was not read before its plan`)
    }
    return this.#slots.get(key)
  }

  matching(glob: string): string[] {
    const keys: string[] = []
    for (const [key, slot] of this.#slots) {
      if (slot?.record.kind === 'entry' && matchKey(glob, key)) keys.push(key)
    }
    return keys
  }
}
