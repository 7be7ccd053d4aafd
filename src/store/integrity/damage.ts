/**
 * What is known to be damaged in this node's storage. A damaged record is neither served nor taken
 * for absent: reads of its key fail until the key is written again, here or by a peer.
 */
import { StateError } from '../../core/errors.ts'
import { hasGlob, matchKey } from '../../core/keys/key.ts'

const MAX_SENTENCES = 100

export class Damage {
  readonly #keys = new Set<string>()
  readonly #sentences: string[] = []

  /** @returns whether this was not known. */
  add(key: string): boolean {
    if (this.#keys.has(key)) return false
    this.#keys.add(key)
    return true
  }

  has(key: string): boolean {
    return this.#keys.has(key)
  }

  /** The key was written again. */
  heal(key: string): void {
    this.#keys.delete(key)
  }

  get keys(): readonly string[] {
    return [...this.#keys]
  }

  /** Of keys that match a key or glob, how many are damaged. */
  count(pattern: string): number {
    if (this.#keys.size === 0) return 0
    if (!hasGlob(pattern)) return this.#keys.has(pattern) ? 1 : 0
    let count = 0
    for (const key of this.#keys) if (matchKey(pattern, key)) count++
    return count
  }

  /** Beyond 100 sentences, or said before: left out; what people are to do is the same. */
  note(sentence: string): void {
    if (this.#sentences.length >= MAX_SENTENCES || this.#sentences.includes(sentence)) return
    this.#sentences.push(sentence)
  }

  /** What was found beyond single records, for people. */
  get sentences(): readonly string[] {
    return this.#sentences
  }

  /** @throws StateError `corrupt_record` when the key is damaged. */
  assertIntact(key: string): void {
    if (!this.#keys.has(key)) return
    throw new StateError(
      'corrupt_record',
      `storage: the record of key "${key}" is damaged; write it again, or let a peer repair it`,
    )
  }
}
