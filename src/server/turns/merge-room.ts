/**
 * What merges of large documents may hold at a time. A merge works with the place and the text of each member,
 * which takes a multiple of the document. That room is counted before the merge begins and until its write is
 * done; where there is none, merges go one after the other, in the order in which they came.
 */
import { StateError } from '../../core/errors.ts'
import { FairQueue, type Leave } from './fair-queue.ts'

/** Characters of document and patch that are merged in one turn of the event loop: some milliseconds. */
export const MAX_MERGED_AT_ONCE = 262_144
/** Bytes that the merge of a document holds for each of its characters, members of 20 characters and more. */
const BYTES_PER_CHARACTER = 24
/** Merges that may wait for room. Each holds its patch, which counts as a body. */
const MAX_WAITING = 64

export class MergeRoom {
  readonly #queue: FairQueue

  /** @param maxBytes that all merges together may hold; one that is alone may hold more */
  constructor(maxBytes: number) {
    this.#queue = new FairQueue({ maxBytes, maxWaiting: MAX_WAITING, what: 'merges' })
  }

  /** Bytes that merges under way are counted with. */
  get bytes(): number {
    return this.#queue.bytes
  }

  /** The claim of one write, with as many merges as it has. */
  claim(): MergeClaim {
    return new MergeClaim(this.#queue)
  }
}

export class MergeClaim {
  readonly #queue: FairQueue
  #merges = 0
  #characters = 0
  #largest = 0
  #held = 0
  #leave: Leave | undefined

  constructor(queue: FairQueue) {
    this.#queue = queue
  }

  /** Counts one merge, whose length is told by `resize` then. */
  add(): void {
    this.#merges++
  }

  /**
   * A merge has to do with so many characters, and had with `before`.
   * @returns undefined when the room for that is held; else what to wait for before asking again
   * @throws StateError `too_large` when the merges of this write can not be held at a time, `overloaded`
   */
  resize(before: number, characters: number): Promise<void> | undefined {
    this.#characters += characters - before
    this.#largest = Math.max(this.#largest, characters)
    if (this.#characters <= MAX_MERGED_AT_ONCE) return undefined
    if (this.#merges > 1 && this.#characters > this.#queue.maxBytes) {
      throw new StateError(
        'too_large',
        `ooo: the batch merges into ${this.#characters} characters of documents, the limit is ${this.#queue.maxBytes}`,
      )
    }
    const bytes = this.#characters + this.#largest * BYTES_PER_CHARACTER
    if (bytes <= this.#held) return undefined
    // Others may let the document grow meanwhile: that must not cost the place in the queue.
    return this.#take(bytes + Math.ceil(bytes / 8))
  }

  /** The write is done, or given up. Idempotent. */
  end(): void {
    this.#held = 0
    this.#leave?.()
    this.#leave = undefined
  }

  /** Nobody waits with room in hand: two who do could wait for each other. */
  #take(bytes: number): Promise<void> | undefined {
    this.end()
    const { leave, entered } = this.#queue.enter(bytes)
    this.#leave = leave
    this.#held = bytes
    return entered
  }
}
