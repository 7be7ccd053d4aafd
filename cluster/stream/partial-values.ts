/**
 * What has come of large values, per peer and key. It outlives connections, so that a piece that came is not
 * sent again; it is in memory, so after a restart of this node it is.
 *
 * Room is bounded: a value takes its whole size from its first piece on, and the next one waits. What belongs
 * to an open connection is never dropped for another, nor what a broken one left during `keepMs`: so every
 * value that is begun is finished if its peer comes back.
 */

import { encodeHash, hashText } from '../../src/core/data/digest.ts'
import { type Entry, versionOf } from '../../src/core/data/entry.ts'
import type { CancelTimer, TimeSource } from '../../src/core/ports/time.ts'
import { isSameValue, type ValueName } from '../../src/core/wire/pieces.ts'

export interface PartialValuesOptions {
  readonly time: TimeSource
  /** UTF-16 units of all values together; one larger value is taken while there is no other. */
  readonly maxUnits: number
  /** How long what a broken connection left is kept, milliseconds. */
  readonly keepMs: number
}

/** One value on its way, or whole and not stored yet. */
export interface PartialValue {
  readonly name: ValueName
  /** Units that came. */
  readonly length: number
  /** Takes the next piece. @returns false: it holds more than the value, or something else. */
  add(data: string): boolean
  /** All of it. */
  text(): string
}

interface Place {
  readonly value: Parts
  /** The connection it comes over, or came over. */
  owner: number
  expire: CancelTimer | undefined
}

interface Waiting {
  readonly id: string
  readonly name: ValueName
  readonly owner: number
  readonly ready: (value: PartialValue) => void
}

export class PartialValues {
  readonly #options: PartialValuesOptions
  readonly #places = new Map<string, Place>()
  #waiting: Waiting[] = []
  #units = 0
  #connections = 0

  constructor(options: PartialValuesOptions) {
    this.#options = options
  }

  /** Units that are taken, of values under way in full. */
  get units(): number {
    return this.#units
  }

  /** A number for a connection; a later one has a greater number. */
  connect(): number {
    return ++this.#connections
  }

  /**
   * Gives what has come of this value, once there is room; never when a later connection of the peer has
   * asked for it, as this one is about to be found broken.
   * @param owner the connection over which the rest comes from now on.
   */
  open(peer: string, name: ValueName, owner: number, ready: (value: PartialValue) => void): void {
    const id = idOf(peer, name.key)
    const place = this.#places.get(id)
    if (place !== undefined && place.owner > owner) return
    if (place !== undefined && isSameValue(place.value.name, name)) {
      place.expire?.()
      place.expire = undefined
      place.owner = owner
      ready(place.value)
      return
    }
    this.#remove(id)
    this.#waiting.push({ id, name, owner, ready })
    this.#pump()
  }

  /** Whether the rest of the value comes over this connection, not over a later one. */
  owns(peer: string, key: string, owner: number): boolean {
    return this.#places.get(idOf(peer, key))?.owner === owner
  }

  /** What came is of no use. */
  remove(peer: string, key: string): void {
    this.#remove(idOf(peer, key))
    this.#pump()
  }

  /** The record is stored. */
  stored(peer: string, record: Entry): void {
    const { version, origin } = this.#places.get(idOf(peer, record.key))?.value.name ?? {}
    if (version === versionOf(record) && origin === record.origin) this.remove(peer, record.key)
  }

  /** The connection is gone. */
  left(owner: number): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting.owner !== owner)
    for (const [id, place] of this.#places) {
      if (place.owner !== owner) continue
      place.expire = this.#options.time.after(this.#options.keepMs, () => {
        this.#remove(id)
        this.#pump()
      })
    }
  }

  /** Forgets everything. */
  close(): void {
    for (const id of [...this.#places.keys()]) this.#remove(id)
    this.#waiting = []
  }

  #remove(id: string): void {
    const place = this.#places.get(id)
    if (place === undefined) return
    place.expire?.()
    this.#places.delete(id)
    this.#units -= place.value.name.size
  }

  #pump(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const { id, name, owner, ready } = next
      const isFull = this.#units > 0 && this.#units + name.size > this.#options.maxUnits
      if (isFull) return
      this.#waiting.shift()
      const value = new Parts(name)
      this.#places.set(id, { value, owner, expire: undefined })
      this.#units += name.size
      ready(value)
    }
  }
}

class Parts implements PartialValue {
  readonly name: ValueName
  #parts: string[] = []
  #length = 0

  constructor(name: ValueName) {
    this.name = name
  }

  get length(): number {
    return this.#length
  }

  add(data: string): boolean {
    this.#parts.push(data)
    this.#length += data.length
    if (this.#length < this.name.size) return true
    return this.#length === this.name.size && encodeHash(hashText(this.text())) === this.name.hash
  }

  text(): string {
    if (this.#parts.length > 1) this.#parts = [this.#parts.join('')]
    return this.#parts[0] ?? ''
  }
}

function idOf(peer: string, key: string): string {
  return `${peer} ${key}`
}
