/**
 * The history of one round: one JSON object per line, in the order of completion, and the same operations as
 * EDN maps in the manner of Jepsen, for checkers of others (Elle takes the transactions of a register).
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ednHistory } from './edn.ts'

export type Outcome = 'ok' | 'fail' | 'unknown'
export type OperationKind = 'set' | 'push' | 'patch' | 'delete' | 'read'

/** One request of a client. Times are microseconds since the round began. */
export interface OperationLine {
  readonly type: 'op'
  readonly id: string
  /** Client: never two requests at a time. */
  readonly process: number
  /** The node that was asked. */
  readonly node: string
  /** The node that decided a conditional write, `unknown` where that is not known. */
  readonly at: string
  /** null: a push that got no answer. */
  readonly key: string | null
  readonly op: OperationKind
  /** The unique id that is written; null for reads and deletes. */
  readonly value: string | null
  /** Entity tag of the condition, and the value that had it. */
  readonly ifMatch: string | null
  readonly expects: string | null
  readonly ifNoneMatch: boolean
  /** Confirmation asked for, and what the answer confirmed. */
  readonly ack: string
  readonly acked: string | null
  readonly invoke: number
  readonly complete: number | null
  readonly outcome: Outcome
  readonly status: number | string
  /** What a read saw; null: nothing. */
  readonly seen: unknown
  readonly etag: string | null
  readonly writeId: string | null
}

/** What happened to the cluster, for those who read the history; the checker needs those of disks. */
export interface EventLine {
  readonly type: 'event'
  readonly event: string
  readonly node: string
  readonly time: number
  readonly backup?: string
  readonly detail?: string
}

export type HistoryLine =
  | OperationLine
  | EventLine
  | { readonly type: string; readonly [field: string]: unknown }

export class HistoryRecord {
  readonly lines: HistoryLine[] = []
  readonly #began = performance.now()
  #values = 0

  /** Whole microseconds since the round began. */
  now(): number {
    return Math.round((performance.now() - this.#began) * 1000)
  }

  /** A value that nobody wrote before, or the name of an operation. */
  nextId(): string {
    this.#values += 1
    return `v${this.#values}`
  }

  add(line: HistoryLine): void {
    this.lines.push(line)
  }

  event(event: string, node: string, more: { backup?: string; detail?: string } = {}): void {
    this.add({ type: 'event', event, node, time: this.now(), ...more })
  }

  operations(): OperationLine[] {
    return this.lines.filter((line): line is OperationLine => line.type === 'op')
  }

  /** Writes `history.jsonl` and `history.edn` into a folder; gives the path of the first. */
  write(folder: string): string {
    const path = join(folder, 'history.jsonl')
    writeFileSync(path, this.lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    writeFileSync(join(folder, 'history.edn'), ednHistory(this.operations()))
    return path
  }
}
