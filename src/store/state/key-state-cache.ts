/**
 * The records that were used last, up to a number of bytes. Sizes are estimates of what a key state takes
 * on the heap: two bytes per character would be the most, one is the rule, and the objects around it.
 */
import type { KeyState } from './state.ts'

/** Objects, stamps and the map's own share per key. */
const SLOT_BYTES = 320

export class KeyStateCache {
  readonly #maxBytes: number
  /** Least recently used first: a Map iterates in insertion order. */
  readonly #keyStates = new Map<string, KeyState>()
  #bytes = 0

  /** @param maxBytes 0 keeps nothing. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get(key: string): KeyState | undefined {
    const keyState = this.#keyStates.get(key)
    if (keyState === undefined) return undefined
    this.#keyStates.delete(key)
    this.#keyStates.set(key, keyState)
    return keyState
  }

  has(key: string): boolean {
    return this.#keyStates.has(key)
  }

  set(keyState: KeyState): void {
    const { key } = keyState.record
    this.delete(key)
    const bytes = bytesOf(keyState)
    if (bytes > this.#maxBytes) return
    this.#keyStates.set(key, keyState)
    this.#bytes += bytes
    for (const oldest of this.#keyStates.keys()) {
      if (this.#bytes <= this.#maxBytes) break
      this.delete(oldest)
    }
  }

  /** Forgets all but these. @returns them, least recently used first. */
  clear(isKept: (key: string) => boolean): KeyState[] {
    const kept: KeyState[] = []
    for (const [key, keyState] of this.#keyStates) {
      if (isKept(key)) kept.push(keyState)
      else this.delete(key)
    }
    return kept
  }

  delete(key: string): void {
    const keyState = this.#keyStates.get(key)
    if (keyState === undefined) return
    this.#keyStates.delete(key)
    this.#bytes -= bytesOf(keyState)
  }
}

function bytesOf({ record }: KeyState): number {
  const data = record.kind === 'entry' ? record.data.length : 0
  return SLOT_BYTES + record.key.length * 2 + data
}
