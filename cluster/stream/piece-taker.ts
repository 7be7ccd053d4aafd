/** Takes the large values that come in pieces over one connection. */
import { type Entry, type StoredRecord, versionOf } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import { flaw, type RecordFlaw } from '../../src/core/records/flaw.ts'
import type { Got, Offer, Piece } from '../../src/core/wire/pieces.ts'
import { isSameValue, nameOfValue, type ValueName } from '../../src/core/wire/pieces.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { PartialValue, PartialValues } from './partial-values.ts'

export interface PieceTakerOptions {
  readonly store: Pick<ReplicationStore, 'keyState'>
  readonly partials: PartialValues
  /** Who sends; the same in its next connection. */
  readonly peer: string
  /** Longest value, UTF-16 units. Default: 256 Mi. */
  readonly maxUnits?: number | undefined
  readonly send: (message: Got) => void
}

/** No value is longer. */
const MAX_UNITS = 2 ** 28
/** Values that came and were not used; of more, the oldest goes. */
const MAX_WHOLE = 4

interface WholeValue {
  readonly name: ValueName
  readonly text: () => string
}

export class PieceTaker {
  readonly #options: PieceTakerOptions
  readonly #connection: number
  /** What is under way; `value` undefined while there is no room for it. */
  #current: { readonly n: number; value: PartialValue | undefined } | undefined
  /** The latest value that was had before all of it had come: what is still on its way is of no use. */
  #hadBefore = 0
  /** Why values are not taken, by key, until the record that each belongs to comes. */
  readonly #refused = new Map<string, RecordFlaw>()
  /** Values that are whole, by key, until the record that each belongs to comes. */
  readonly #whole = new Map<string, WholeValue>()
  #isClosed = false

  constructor(options: PieceTakerOptions) {
    this.#options = options
    this.#connection = options.partials.connect()
  }

  /** @throws StateError `invalid_message`, or of the storage. */
  async offered({ n, t: _type, flaw: found, ...name }: Offer): Promise<void> {
    const { store, partials, peer, send, maxUnits = MAX_UNITS } = this.#options
    if (this.#current !== undefined) {
      throw new StateError(
        'invalid_message',
        'stream: a value is offered while another is under way',
      )
    }
    const tooLong = flaw('too_large', `value of ${name.size}, the limit is ${maxUnits}`)
    const refusal = found ?? (name.size > maxUnits ? tooLong : undefined)
    if (refusal !== undefined) {
      this.#refuse(n, name, refusal)
      return
    }
    this.#refused.delete(name.key)
    const current: { n: number; value: PartialValue | undefined } = { n, value: undefined }
    this.#current = current
    const held = (await store.keyState(name.key))?.record
    if (this.#isClosed || this.#current !== current) return
    if (held?.kind === 'entry' && isSameValue(nameOfValue(held), name)) {
      this.#current = undefined
      this.#keep({ name, text: () => held.data })
      send({ t: 'got', n, at: name.size })
      return
    }
    partials.open(peer, name, this.#connection, (value) => {
      current.value = value
      this.#came(n, value)
    })
  }

  /** @throws StateError `invalid_message`. */
  take({ n, at, data }: Piece): void {
    const { partials, peer } = this.#options
    if (n === this.#hadBefore) return
    const value = this.#current?.n === n ? this.#current.value : undefined
    // A later connection of the peer goes on with it.
    if (value !== undefined && !partials.owns(peer, value.name.key, this.#connection)) return
    if (value === undefined || at !== value.length) {
      throw new StateError('invalid_message', `stream: a piece at ${at} that was not asked for`)
    }
    if (value.add(data)) {
      this.#came(n, value)
      return
    }
    partials.remove(peer, value.name.key)
    this.#current = undefined
    this.#hadBefore = n
    this.#refuse(n, value.name, flaw('invalid_message', 'value is not the one that was offered'))
  }

  /** The value of a record that came without it, once, or why it is not taken; undefined: it did not come before. */
  valueOf(record: Entry): string | RecordFlaw | undefined {
    const refused = this.#refused.get(record.key)
    this.#refused.delete(record.key)
    if (refused !== undefined) return refused
    const whole = this.#whole.get(record.key)
    this.#whole.delete(record.key)
    if (whole === undefined) return undefined
    const { version, origin } = whole.name
    return version === versionOf(record) && origin === record.origin ? whole.text() : undefined
  }

  /** These records are stored, whichever way they came: what came of their values is not needed any more. */
  stored(records: readonly StoredRecord[]): void {
    const { partials, peer } = this.#options
    for (const record of records) {
      if (record.kind !== 'entry') continue
      this.#haveBefore(record)
      partials.stored(peer, record)
    }
  }

  /** A value that is under way came another way, as over a bus: the sender is told that all of it is here. */
  #haveBefore(record: Entry): void {
    const { n, value } = this.#current ?? {}
    if (n === undefined || value === undefined) return
    const { name } = value
    if (name.key !== record.key || !isSameValue(nameOfValue(record), name)) return
    this.#current = undefined
    this.#hadBefore = n
    this.#keep({ name, text: () => record.data })
    this.#options.send({ t: 'got', n, at: name.size })
  }

  /** The connection is gone; what came stays for the next one. */
  close(): void {
    this.#isClosed = true
    this.#options.partials.left(this.#connection)
  }

  /** The sender is told that all of it is here, and goes on with the record, which is refused then. */
  #refuse(n: number, name: ValueName, refusal: RecordFlaw): void {
    this.#refused.set(name.key, refusal)
    const [oldest = ''] = this.#refused.keys()
    if (this.#refused.size > MAX_WHOLE) this.#refused.delete(oldest)
    this.#options.send({ t: 'got', n, at: name.size })
  }

  #keep(whole: WholeValue): void {
    this.#whole.set(whole.name.key, whole)
    const [oldest = ''] = this.#whole.keys()
    if (this.#whole.size <= MAX_WHOLE) return
    this.#whole.delete(oldest)
    this.#options.partials.remove(this.#options.peer, oldest)
  }

  #came(n: number, value: PartialValue): void {
    const { name, length } = value
    if (length === name.size) {
      this.#current = undefined
      this.#keep({ name, text: () => value.text() })
    }
    this.#options.send({ t: 'got', n, at: length })
  }
}
