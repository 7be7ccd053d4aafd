/**
 * The records that were used last, up to a number of bytes. Sizes are estimates of what a slot takes
 * on the heap: two bytes per character would be the most, one is the rule, and the objects around it.
 */
import type { Slot } from './state.ts'

/** Objects, stamps and the map's own share per slot. */
const SLOT_BYTES = 320

export class SlotCache {
  readonly #maxBytes: number
  /** Least recently used first: a Map iterates in insertion order. */
  readonly #slots = new Map<string, Slot>()
  #bytes = 0

  /** @param maxBytes 0 keeps nothing. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get(key: string): Slot | undefined {
    const slot = this.#slots.get(key)
    if (slot === undefined) return undefined
    this.#slots.delete(key)
    this.#slots.set(key, slot)
    return slot
  }

  has(key: string): boolean {
    return this.#slots.has(key)
  }

  set(slot: Slot): void {
    const { key } = slot.record
    this.delete(key)
    const bytes = bytesOf(slot)
    if (bytes > this.#maxBytes) return
    this.#slots.set(key, slot)
    this.#bytes += bytes
    for (const oldest of this.#slots.keys()) {
      if (this.#bytes <= this.#maxBytes) break
      this.delete(oldest)
    }
  }

  /** Forgets all but these. @returns them, least recently used first. */
  clear(isKept: (key: string) => boolean): Slot[] {
    const kept: Slot[] = []
    for (const [key, slot] of this.#slots) {
      if (isKept(key)) kept.push(slot)
      else this.delete(key)
    }
    return kept
  }

  delete(key: string): void {
    const slot = this.#slots.get(key)
    if (slot === undefined) return
    this.#slots.delete(key)
    this.#bytes -= bytesOf(slot)
  }
}

function bytesOf({ record }: Slot): number {
  const data = record.kind === 'entry' ? record.data.length : 0
  return SLOT_BYTES + record.key.length * 2 + data
}
