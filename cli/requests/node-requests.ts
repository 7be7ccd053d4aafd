/** Backups from and restores into a running node, over HTTP. */

import type { BackupFormat } from '../../backup/format/header.ts'
import type { RestoreCounts } from '../../backup/restore-records.ts'
import { BACKUP_PATH, CONTENT_TYPES, RESTORE_PATH } from '../../backup/routes.ts'
import { recordBlocks } from '../../backup/write-backup.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { errorText, StateError } from '../../src/core/errors.ts'
import { TOKEN_HEADER } from '../../src/core/wire/protocol.ts'

export interface NodePlace {
  /** Origin, without a slash at the end. */
  readonly url: string
  /** The cluster token, where the node asks for one. */
  readonly token: string | undefined
}

/** Bytes of lines sent in one request: it must be over before a server gives up reading it. */
const PART_BYTES = 1024 * 1024
/** Longest wait for the answer to a part, milliseconds. */
const PART_TIMEOUT_MS = 120_000

/**
 * The bytes of a backup, as the node sends them.
 * @throws StateError `unreachable`, or what the node answered; at its start when it has no such route.
 */
export async function* fetchBackup(
  node: NodePlace,
  format: BackupFormat,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const response = await call(node, `${BACKUP_PATH}?format=${format}`, { signal })
  if (response.body === null) throw new StateError('unreachable', `${node.url}: an empty answer`)
  try {
    for await (const chunk of response.body) yield chunk
  } catch (cause) {
    signal.throwIfAborted()
    throw new StateError('unreachable', `${node.url}: cut off: ${reasonOf(cause)}`, { cause })
  }
}

/**
 * Sends records in parts; each is merged when it is answered. Sending a part twice does no harm.
 * @throws StateError as `fetchBackup`.
 */
export async function sendRecords(
  node: NodePlace,
  records: AsyncIterable<StoredRecord>,
  encode: (record: StoredRecord) => string,
  signal: AbortSignal,
  onProgress: (records: number) => void,
): Promise<Omit<RestoreCounts, 'damage'>> {
  const counts = { applied: 0, equal: 0, superseded: 0, refused: 0, restamped: 0 }
  let sent = 0
  for await (const part of recordBlocks(records, PART_BYTES, encode)) {
    const answer = await sendPart(node, part.bytes, signal, sent)
    counts.applied += answer.applied
    counts.equal += answer.equal
    counts.superseded += answer.superseded
    counts.refused += answer.refused
    counts.restamped += answer.restamped
    sent += part.records.length
    onProgress(sent)
  }
  return counts
}

async function sendPart(
  node: NodePlace,
  bytes: Uint8Array<ArrayBuffer>,
  signal: AbortSignal,
  sent: number,
): Promise<Omit<RestoreCounts, 'damage'>> {
  try {
    const response = await call(node, RESTORE_PATH, {
      method: 'POST',
      headers: { 'content-type': CONTENT_TYPES.jsonl },
      body: bytes,
      signal: AbortSignal.any([signal, AbortSignal.timeout(PART_TIMEOUT_MS)]),
    })
    return parseCounts(await response.text())
  } catch (error) {
    signal.throwIfAborted()
    const text = `${errorText(error)} (${sent} records were taken before; to send them again does no harm)`
    throw new StateError(error instanceof StateError ? error.code : 'unreachable', text, {
      cause: error,
    })
  }
}

function parseCounts(body: string): Omit<RestoreCounts, 'damage'> {
  const value: unknown = JSON.parse(body)
  const count = (name: string, fallback?: number): number => {
    const found = (value as Readonly<Record<string, unknown>> | null)?.[name] ?? fallback
    if (typeof found === 'number') return found
    throw new StateError('invalid_message', `the node answered ${body.slice(0, 100)}`)
  }
  return {
    applied: count('applied'),
    equal: count('equal'),
    superseded: count('superseded'),
    // A node of an earlier release refuses the whole part.
    refused: count('refused', 0),
    restamped: count('restamped', 0),
  }
}

async function call(node: NodePlace, path: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers)
  if (node.token !== undefined) headers.set(TOKEN_HEADER, node.token)
  let response: Response
  try {
    response = await fetch(`${node.url}${path}`, { ...init, headers })
  } catch (cause) {
    throw new StateError('unreachable', `${node.url}: ${reasonOf(cause)}`, { cause })
  }
  if (response.ok) return response
  const body = (await response.text()).trim().slice(0, 500)
  if (response.status === 401) {
    throw new StateError(
      'unauthorized',
      `${node.url}: ${body}; give --cluster-token-file or OOO_CLUSTER_TOKEN`,
    )
  }
  const advice = response.status === 404 ? '; does it run a release with backups?' : ''
  throw new StateError('unreachable', `${node.url}: status ${response.status}: ${body}${advice}`)
}

/** The true reason is in the cause of what `fetch` throws. */
function reasonOf(error: unknown): string {
  return errorText(error instanceof Error && error.cause instanceof Error ? error.cause : error)
}
