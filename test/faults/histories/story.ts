/** Histories made by hand, for the tests of the checker. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check, type Verdict } from './checker.ts'
import type { HistoryLine, OperationKind, OperationLine } from './record.ts'

/** Microseconds. */
export const SECOND = 1_000_000

let folder: string | undefined
let files = 0

/** Removes the files of all stories. */
export function removeStories(): void {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
}

/** A history in the making. Every operation takes a tenth of a second, one after the other. */
export class Story {
  readonly lines: HistoryLine[] = []
  #time = 0
  #count = 0
  readonly #nodes: readonly string[]

  constructor(nodes: readonly string[] = ['a', 'b'], more: Record<string, string> = {}) {
    this.#nodes = nodes
    this.lines.push({ type: 'header', nodes, ...more })
  }

  /** A write that is answered, unless `more` says otherwise; gives its value, or its id for a delete. */
  write(node: string, key: string, op: OperationKind, more: Partial<OperationLine> = {}): string {
    return this.#operation(node, key, { op, ...more }).id
  }

  set(node: string, key: string, more: Partial<OperationLine> = {}): string {
    return this.write(node, key, 'set', more)
  }

  /** A set on the condition that the value is the one given, or that there is none. */
  decide(
    node: string,
    key: string,
    expects: string | null,
    more: Partial<OperationLine> = {},
  ): string {
    const condition =
      expects === null ? { ifNoneMatch: true } : { ifMatch: `"${expects}"`, expects }
    return this.set(node, key, { ...condition, ...more })
  }

  read(node: string, key: string, value: string | null, more: Partial<OperationLine> = {}): void {
    const seen = value === null ? null : { id: value, set: value }
    this.#operation(node, key, { op: 'read', value: null, seen, acked: null, ...more })
  }

  event(event: string, node: string, backup?: string): void {
    this.#time += SECOND / 10
    const line = { type: 'event', event, node, time: this.#time } as const
    this.lines.push(backup === undefined ? line : { ...line, backup })
  }

  /** All nodes hold these values in the end, or whole documents; null ones are absent. */
  end(values: Readonly<Record<string, unknown>>, equalAfterSeconds = 1): this {
    const healed = this.#time + SECOND
    const equal = healed + equalAfterSeconds * SECOND
    this.lines.push({ type: 'healed', time: healed }, { type: 'equal', time: equal })
    for (const node of this.#nodes) this.endAt(node, values, equal)
    return this
  }

  endAt(node: string, values: Readonly<Record<string, unknown>>, time: number = this.#time): void {
    const present = Object.entries(values).filter(([, value]) => value !== null)
    const keys = Object.fromEntries(
      present.map(([key, value]) => [
        key,
        typeof value === 'string' ? { id: value, set: value } : value,
      ]),
    )
    this.lines.push({ type: 'final', node, time, keys })
  }

  get file(): string {
    folder ??= mkdtempSync(join(tmpdir(), 'ooo-check-'))
    files += 1
    const path = join(folder, `${files}.jsonl`)
    writeFileSync(path, this.lines.map((line) => JSON.stringify(line)).join('\n'))
    return path
  }

  judge(): Verdict {
    return check(this.file)
  }

  #operation(node: string, key: string, more: Partial<OperationLine>): OperationLine {
    this.#count += 1
    const id = `v${this.#count}`
    const invoke = this.#time + SECOND / 10
    const complete = invoke + SECOND / 10
    this.#time = complete
    const isDelete = more.op === 'delete'
    const unanswered = more.outcome === 'unknown' ? { complete: null, acked: null } : {}
    const line: OperationLine = {
      type: 'op',
      id,
      process: 0,
      node,
      at: node,
      key,
      op: 'set',
      value: isDelete ? null : id,
      ifMatch: null,
      expects: null,
      ifNoneMatch: false,
      ack: 'local',
      acked: 'local',
      invoke,
      complete,
      outcome: 'ok',
      status: 200,
      seen: null,
      etag: null,
      writeId: `${node}:${id}`,
      ...more,
      ...unanswered,
    }
    this.lines.push(line)
    return line
  }
}
