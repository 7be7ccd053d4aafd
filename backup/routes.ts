/**
 * Backup and restore of a running node over HTTP, as a server plugin:
 *
 * - `GET /-/backup` streams everything the node holds, exactly as of one commit, while it serves.
 *   `?format=jsonl` gives lines for people.
 * - `POST /-/restore` merges a backup, or lines of one, under last-write-wins, and answers
 *   `{"applied":…,"equal":…,"superseded":…,"refused":…,"restamped":…}`. Content type: that of what is sent (see below). A browser
 *   does not send these types across origins unasked.
 *
 * A backup holds everything, whatever static mode and filters hide, and a restore writes past them, as
 * replication does. Like every request they pass the server's middleware first; `authorize` then decides.
 */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HybridClock } from '../src/core/data/clock.ts'
import { StateError } from '../src/core/errors.ts'
import type {
  CredentialCheck,
  PluginHost,
  RouteHandler,
  ServerPlugin,
} from '../src/server/contract/plugin.ts'
import type { BackupFormat } from './format/header.ts'
import { readBackup } from './read-backup.ts'
import { mergeBackup } from './restore-records.ts'
import { backupOfStore } from './store-backup.ts'
import { writeBackup } from './write-backup.ts'

export const BACKUP_PATH = '/-/backup'
export const RESTORE_PATH = '/-/restore'

/** What each format is called in HTTP. */
export const CONTENT_TYPES: Readonly<Record<BackupFormat, string>> = Object.freeze({
  binary: 'application/vnd.ooo.backup',
  jsonl: 'application/x-ndjson',
})

/** Backups and restores that may run at once. */
const MAX_RUNNING = 4
/** Greatest block or line of a restore, bytes. */
const MAX_BLOCK_BYTES = 64 * 1024 * 1024

export interface BackupRoutesOptions {
  /** Throws a StateError to refuse a backup or a restore. Default: whoever passes the middleware may. */
  readonly authorize?: (request: IncomingMessage) => void
  /** Says whether a request shows a credential of this node; see `PluginHost.credential`. Default: none does. */
  readonly credential?: CredentialCheck
  /** Key paths this node replicates, told in the header. Default none. */
  readonly scopes?: readonly string[]
}

/** The plugin. Register it where operators can reach the node and strangers cannot; see docs/backup.md. */
export function backupRoutes(options: BackupRoutesOptions = {}): ServerPlugin {
  const { authorize = () => undefined, scopes = [] } = options
  let running = 0
  const bounded =
    (work: RouteHandler): RouteHandler =>
    async (request, response, target) => {
      if (running >= MAX_RUNNING) {
        throw new StateError(
          'overloaded',
          `backup: ${running} are running, at most ${MAX_RUNNING} may`,
        )
      }
      running += 1
      try {
        return await work(request, response, target)
      } finally {
        running -= 1
      }
    }
  return {
    name: 'backup',
    setup(host) {
      if (options.credential !== undefined) host.credential(options.credential)
      host.route({
        ...{ path: BACKUP_PATH, methods: ['GET'], who: 'node', authorize },
        description: 'everything the node holds, as one stream',
        http: bounded((request, response, { query }) =>
          request.method === 'HEAD' ? { status: 200 } : sendBackup(host, scopes, response, query),
        ),
      })
      host.route({
        ...{ path: RESTORE_PATH, methods: ['POST'], who: 'peer', authorize },
        description: 'merges a backup',
        http: bounded((request, response) => takeRestore(host, request, response)),
      })
    },
  }
}

async function sendBackup(
  { replicationStore: store, clock, time }: PluginHost,
  scopes: readonly string[],
  response: ServerResponse,
  query: string,
): Promise<void> {
  const format = new URLSearchParams(query).get('format') ?? 'binary'
  if (format !== 'binary' && format !== 'jsonl') {
    throw new StateError('invalid_option', `backup: format "${format}" is not binary or jsonl`)
  }
  const { header, records, flaws } = await backupOfStore(store, { clock, time, scopes })
  response.writeHead(200, { 'content-type': CONTENT_TYPES[format], 'cache-control': 'no-store' })
  for await (const bytes of writeBackup(header, records, { format, flaws })) {
    if (response.destroyed) return
    if (!response.write(bytes)) await drained(response)
  }
  response.end()
}

/** Resolves when more may be written, or nobody reads any more. */
async function drained(response: ServerResponse): Promise<void> {
  const stop = new AbortController()
  const { signal } = stop
  try {
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })])
  } finally {
    stop.abort()
  }
}

/**
 * A stamp that is far ahead would put all later ones of the cluster ahead with it, for good. What a sane
 * clock has given out since lies below this.
 */
function latestStamp(clock: HybridClock): bigint {
  return clock.last > clock.latest ? clock.last : clock.latest
}

async function takeRestore(
  { replicationStore: store, clock }: PluginHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== CONTENT_TYPES.binary && type !== CONTENT_TYPES.jsonl) {
    const allowed = Object.values(CONTENT_TYPES).join(' or ')
    throw new StateError('invalid_message', `backup: content type ${type} is not ${allowed}`)
  }
  const events = readBackup(request, {
    partial: type === CONTENT_TYPES.jsonl,
    maxBlockBytes: MAX_BLOCK_BYTES,
  })
  const latest = latestStamp(clock)
  // What the client sent is wrong, not what is stored here.
  const damageCode = 'invalid_message'
  // What is counted as restored is there after any crash, however soon the node answers other writes.
  const durability = store.durability.strongest
  const options = { latest, damageCode, durability } as const
  const { applied, equal, superseded, refused, restamped } = await mergeBackup(
    store,
    events,
    options,
  )
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  response.end(`${JSON.stringify({ applied, equal, superseded, refused, restamped })}\n`)
}
