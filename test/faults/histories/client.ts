/** One operation against a node, over plain HTTP, and what is recorded of it. */
import { type Answer, request } from '../../support/http.ts'
import { documentToSet, recorded } from './document.ts'
import type { HistoryRecord, OperationKind, OperationLine, Outcome } from './record.ts'

export interface Operation {
  readonly op: OperationKind
  /** A key; for a push the list. */
  readonly key: string
  readonly condition?: Condition
  /** Confirmation that the answer waits for. Default `local`. */
  readonly ack?: string
  /** Length of a text that is set beside the id, characters. Default 0: none. */
  readonly size?: number
}

/** Undefined tag: the key must be absent. */
export interface Condition {
  readonly tag: string | undefined
  /** The value that had the tag. */
  readonly expects: string | null
}

/** What an operation is made at. */
export interface Place {
  readonly name: string
  readonly url: string
  /** Which node decides what is conditional, told by the answer's header; called before and after the operation. */
  decider(answeredBy: string | undefined): string
}

/** Milliseconds after which a client gives up; longer than the node waits for a confirmation. */
const TIMEOUT_MS = 6000
const ACK_TIMEOUT_MS = 3000
/** Answers that say that nothing was written. */
const REFUSALS: ReadonlySet<number> = new Set([400, 401, 403, 404, 405, 412, 413, 421])
/** Part of the text of a 503 that says that nothing was written; others may have written. */
const NOT_ASKED = 'nobody was asked'

/** Makes the operation and records it. Never rejects. */
export async function perform(
  record: HistoryRecord,
  process: number,
  place: Place,
  operation: Operation,
): Promise<OperationLine> {
  const id = record.nextId()
  const { op, condition, ack = 'local' } = operation
  const value = op === 'read' || op === 'delete' ? null : id
  const before = place.decider(undefined)
  const invoke = record.now()
  const answer = await ask(place.url, operation, value).catch((error: unknown) => codeOf(error))
  const complete = record.now()
  const outcome = outcomeOf(op, answer)
  const headers = typeof answer === 'string' ? undefined : answer.headers
  const line: OperationLine = {
    type: 'op',
    id,
    process,
    node: place.name,
    at: condition === undefined ? place.name : decided(place, before, headers),
    key: keyOf(operation, outcome, answer),
    op,
    value,
    ifMatch: condition?.tag ?? null,
    expects: condition?.expects ?? null,
    ifNoneMatch: condition !== undefined && condition.tag === undefined,
    ack,
    acked: outcome === 'ok' && op !== 'read' ? (header(headers, 'ooo-ack') ?? 'local') : null,
    invoke,
    complete: outcome === 'unknown' ? null : complete,
    outcome,
    status: typeof answer === 'string' ? answer : answer.status,
    seen: op === 'read' ? documentOf(answer) : null,
    etag: header(headers, 'etag') ?? null,
    writeId: header(headers, 'ooo-write-id') ?? null,
  }
  record.add(line)
  return line
}

function ask(
  url: string,
  { op, key, condition, ack, size = 0 }: Operation,
  id: string | null,
): Promise<Answer> {
  const waits =
    ack === undefined || ack === 'local' ? '' : `?ack=${ack}&ackTimeoutMs=${ACK_TIMEOUT_MS}`
  const address = `${url}/${key}${op === 'read' ? '' : waits}`
  const headers: Record<string, string> = {}
  if (condition?.tag !== undefined) headers['if-match'] = condition.tag
  else if (condition !== undefined) headers['if-none-match'] = '*'
  const options = { headers, timeoutMs: TIMEOUT_MS }
  if (op === 'read') return request('GET', address, options)
  if (op === 'delete') return request('DELETE', address, options)
  const document = op === 'patch' ? { id, patch: id } : documentToSet(id ?? '', size)
  const method = op === 'patch' ? 'PATCH' : 'POST'
  return request(method, address, { ...options, body: JSON.stringify(document) })
}

/** A refused connection has written nothing; any other failure may have. */
function outcomeOf(op: OperationKind, answer: Answer | string): Outcome {
  if (typeof answer === 'string') return answer === 'ECONNREFUSED' ? 'fail' : 'unknown'
  const { status, headers } = answer
  if (op === 'read') return status === 200 || status === 404 ? 'ok' : 'fail'
  if (status === 200 || status === 204) return 'ok'
  // The write is made; fewer nodes than asked for have it, and the header says how many.
  if (status === 504 && headers['ooo-write-id'] !== undefined) return 'ok'
  if (status === 503 && answer.body.includes(NOT_ASKED)) return 'fail'
  return REFUSALS.has(status) ? 'fail' : 'unknown'
}

/** A node whose leader changed meanwhile may have been answered by either. */
function decided(place: Place, before: string, headers: Answer['headers'] | undefined): string {
  const answeredBy = header(headers, 'ooo-answered-by')
  if (answeredBy === undefined) return place.name
  return before === place.decider(undefined) ? place.decider(answeredBy) : 'unknown'
}

function keyOf({ op, key }: Operation, outcome: Outcome, answer: Answer | string): string | null {
  if (op !== 'push') return key
  if (outcome !== 'ok' || typeof answer === 'string') return null
  if (answer.status === 504) return / of (\S+) is kept/.exec(answer.body)?.[1] ?? null
  const { index } = JSON.parse(answer.body) as { readonly index?: string }
  return index === undefined ? null : key.replace('*', index)
}

function documentOf(answer: Answer | string): unknown {
  if (typeof answer === 'string' || answer.status !== 200) return null
  return recorded((JSON.parse(answer.body) as { readonly data: unknown }).data)
}

function header(headers: Answer['headers'] | undefined, name: string): string | undefined {
  const value = headers?.[name]
  return typeof value === 'string' ? value : undefined
}

function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return error instanceof Error ? error.name : String(error)
}
