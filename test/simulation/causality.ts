/**
 * What each write of a client knew of, told from what nodes were seen to hold: the oracle's own order. It
 * looks at no stamp and shares no rule with the engine.
 *
 * An **operation** is one write or delete that a client asked for. It **follows** every operation that was
 * visible under its key at its node before, and all that those follow; two of which neither follows the
 * other are concurrent, and either may win. A record is known by its data, which no two writes share; a
 * tombstone by its spelling, which a node that gives it another stamp tells of.
 */
import { type StoredRecord, versionOf } from '../../src/core/data/entry.ts'

/** An operation's name. */
export type Op = string

export interface Operation {
  readonly op: Op
  readonly key: string
  readonly isDelete: boolean
}

/** What a record is called under its key. */
export interface RecordName {
  readonly version: bigint
  readonly origin: string
  readonly isDelete: boolean
}

export class Causality {
  /** What each operation follows. */
  readonly #before = new Map<Op, ReadonlySet<Op>>()
  /** Which operations a node was seen to put in the place of each. */
  readonly #replacedBy = new Map<Op, Set<Op>>()
  /** Operations of tombstones, by how they are spelled. */
  readonly #deletes = new Map<string, Op>()
  /** Operations of entries, by key, stamp and origin. */
  readonly #entries = new Map<string, Op>()
  #made = 0

  /** The operation that a record comes from. */
  opOf(record: StoredRecord): Op {
    if (record.kind === 'entry') {
      const op = `${record.key} ${record.data}`
      this.#entries.set(nameOf(record.key, versionOf(record), record.origin), op)
      return op
    }
    const spelled = spellingOf(record)
    const known = this.#deletes.get(spelled)
    if (known !== undefined) return known
    // Made by the engine, in place of one that is forgotten: it follows nothing that is known.
    return this.#name(spelled, record.key)
  }

  /** Whether the operation of a record has been told of. */
  knows(record: StoredRecord): boolean {
    return record.kind === 'entry'
      ? this.#before.has(this.opOf(record))
      : this.#deletes.has(spellingOf(record))
  }

  /** A client's write became visible at its node, where these had been visible. @returns its operation. */
  wrote(record: StoredRecord, seen: Iterable<Op>): Op {
    const op =
      record.kind === 'entry' ? this.opOf(record) : this.#name(spellingOf(record), record.key)
    this.#before.set(op, this.#closed(seen))
    return op
  }

  /** Whether this record is the other one under another stamp: no two writes have the same data. */
  isRestamp(before: StoredRecord, after: StoredRecord): boolean {
    if (after.kind === 'entry') return this.opOf(before) === this.opOf(after)
    // What is deleted cannot be deleted again.
    return before.kind === 'tombstone'
  }

  /** A tombstone was given another stamp. */
  restamped(before: StoredRecord, after: StoredRecord): void {
    if (after.kind === 'tombstone') this.#deletes.set(spellingOf(after), this.opOf(before))
  }

  /** A node put one in the place of the other. */
  replaced(before: Op, after: Op): void {
    if (before === after) return
    const known = this.#replacedBy.get(before) ?? new Set()
    this.#replacedBy.set(before, known.add(after))
  }

  /** Every operation of a client, with its key, and whether it was a delete. */
  *operations(): Generator<Operation> {
    for (const op of this.#before.keys()) {
      const key = op.slice(0, op.indexOf(' '))
      yield { op, key, isDelete: op.startsWith(`${key} deleted #`) }
    }
  }

  /** The operation whose record had this key, stamp and origin somewhere; undefined when none was seen. */
  opNamed(key: string, { version, origin, isDelete }: RecordName): Op | undefined {
    const spelled = nameOf(key, version, origin)
    return isDelete ? this.#deletes.get(spelled) : this.#entries.get(spelled)
  }

  /** Whether the maker of `later`, or of what it knew of, knew of `earlier`. */
  follows(later: Op, earlier: Op): boolean {
    return this.#before.get(later)?.has(earlier) === true
  }

  /** Whether one of `held` is the operation, follows it, or took its place, at whatever remove. */
  livesOn(op: Op, held: readonly Op[]): boolean {
    const ends = this.#closed(held)
    const reached = new Set([op])
    for (const one of reached) {
      if (ends.has(one)) return true
      for (const next of this.#replacedBy.get(one) ?? []) reached.add(next)
    }
    return false
  }

  #closed(ops: Iterable<Op>): Set<Op> {
    const all = new Set<Op>()
    for (const op of ops) {
      all.add(op)
      for (const before of this.#before.get(op) ?? []) all.add(before)
    }
    return all
  }

  #name(spelled: string, key: string): Op {
    const op = `${key} deleted #${++this.#made}`
    this.#deletes.set(spelled, op)
    return op
  }
}

function spellingOf(record: StoredRecord): string {
  return nameOf(record.key, versionOf(record), record.origin)
}

function nameOf(key: string, version: bigint, origin: string): string {
  return `${key} ${version} ${origin}`
}
