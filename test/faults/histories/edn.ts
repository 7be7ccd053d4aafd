/**
 * Operations as a Jepsen history in EDN: an `:invoke` and a completion each, by time. Reads and writes are
 * transactions of one or two steps as Elle's register checker takes them: `[[:w "items/a" "v1"]]`; a write on a
 * condition reads first: `[[:r "items/a" "v1"] [:w "items/a" "v2"]]`. Deletes have no place in Elle's model and are
 * operations `:delete`. A process whose operation got no answer is never used again, as Jepsen has it.
 */
import type { OperationLine } from './record.ts'

const COMPLETIONS = { ok: ':ok', fail: ':fail', unknown: ':info' } as const
/** Added to the number of a process each time it is given up. */
const NEXT_LIFE = 10_000

interface Moment {
  readonly time: number
  readonly type: string
  readonly line: OperationLine
}

/** One map per line. */
export function ednHistory(operations: readonly OperationLine[]): string {
  const last = operations.reduce((time, { invoke, complete }) => {
    return Math.max(time, invoke, complete ?? 0)
  }, 0)
  const moments = operations.flatMap((line): Moment[] => [
    { time: line.invoke, type: ':invoke', line },
    { time: line.complete ?? last + 1, type: COMPLETIONS[line.outcome], line },
  ])
  // A process ends one operation before it begins the next, at the same microsecond too.
  moments.sort((a, b) => a.time - b.time || rank(a) - rank(b))
  const processes = processNumbers(operations)
  const texts = moments.map(({ time, type, line }, index) => {
    return ednMap({ index, time: time * 1000, process: processes.get(line.id) ?? 0, type, line })
  })
  return texts.join('')
}

/** By operation. A process is another one after each operation without an answer. */
function processNumbers(operations: readonly OperationLine[]): Map<string, number> {
  const lives = new Map<number, number>()
  const numbers = new Map<string, number>()
  for (const { id, process, outcome } of [...operations].sort((a, b) => a.invoke - b.invoke)) {
    const life = lives.get(process) ?? 0
    numbers.set(id, process + life)
    if (outcome === 'unknown') lives.set(process, life + NEXT_LIFE)
  }
  return numbers
}

function rank({ type }: Moment): number {
  return type === ':invoke' ? 1 : 0
}

interface EdnFields {
  readonly index: number
  /** Nanoseconds, as Jepsen counts. */
  readonly time: number
  readonly process: number
  readonly type: string
  readonly line: OperationLine
}

function ednMap({ index, time, process, type, line }: EdnFields): string {
  const shared = `:index ${index}, :time ${time}, :process ${process}, :type ${type}`
  const place = `:node ${quote(line.node)}, :op ${quote(line.op)}, :ack ${quote(line.ack)}`
  if (line.op === 'delete') {
    return `{${shared}, :f :delete, :value ${quote(line.key)}, ${place}}\n`
  }
  return `{${shared}, :f :txn, :value [${steps(line, type).join(' ')}], ${place}}\n`
}

function steps(line: OperationLine, type: string): string[] {
  const key = quote(line.key)
  if (line.op === 'read') return [`[:r ${key} ${type === ':ok' ? quote(valueSeen(line)) : 'nil'}]`]
  const write = `[:w ${key} ${quote(line.value)}]`
  const isConditional = line.ifMatch !== null || line.ifNoneMatch
  if (!isConditional || type === ':fail') return [write]
  return [`[:r ${key} ${type === ':ok' ? quote(line.expects) : 'nil'}]`, write]
}

function valueSeen({ seen }: OperationLine): string | null {
  const id = (seen as { readonly id?: unknown } | null)?.id
  return typeof id === 'string' ? id : null
}

function quote(text: string | null): string {
  return text === null ? 'nil' : JSON.stringify(text)
}
