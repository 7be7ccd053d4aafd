/** What was fetched of a state on disk for one batch. */
import { StateError } from '../../core/errors.ts'
import { matchKey } from '../../core/keys/key.ts'
import type { KeyState, StateView } from './state.ts'

export class FetchedView implements StateView {
  readonly #keyStates: ReadonlyMap<string, KeyState | undefined>

  constructor(keyStates: ReadonlyMap<string, KeyState | undefined>) {
    this.#keyStates = keyStates
  }

  keyState(key: string): KeyState | undefined {
    if (!this.#keyStates.has(key)) {
      throw new StateError('storage_failed', `storage: key "${key}" was not read before its plan`)
    }
    return this.#keyStates.get(key)
  }

  matching(glob: string): string[] {
    const keys: string[] = []
    for (const [key, keyState] of this.#keyStates) {
      if (keyState?.record.kind === 'entry' && matchKey(glob, key)) keys.push(key)
    }
    return keys
  }
}
