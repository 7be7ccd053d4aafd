/**
 * Reads the LevelDB folder of an older Go server: one row per key, whose value is the JSON object
 * `{"created","updated","index","path","data"}`. The path is that of the row, as the older server
 * takes it. Such a folder has no tombstones: what was deleted there is not in it.
 */
import { Level } from 'level'
import type { StoredRecord } from '../src/core/data/entry.ts'
import { errorText, StateError } from '../src/core/errors.ts'
import { compactJson, type JsonNode, parseNodes } from '../src/core/json/json.ts'
import { hasGlob, isValidKey } from '../src/core/keys/key.ts'
import { MAX_STAMP, reasonOf, shorten } from './format/record-line.ts'

/**
 * The origin of imported records: the same wherever they are imported, so that two imports of one folder
 * on two nodes are the same records to a cluster.
 */
export const KO_ORIGIN = 'ko'

/** Rows read at once. */
const PAGE_ROWS = 1000
const PAGE_BYTES = 256 * 1024

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A row that is no entry. */
export interface BrokenRow {
  /** As text; what is no UTF-8 in it shows as U+FFFD. */
  readonly key: string
  readonly reason: string
}

/**
 * The entries by key, ascending; rows that are none go to `onBroken`. LevelDB writes to a folder when it
 * opens it, so give it a copy.
 * @throws StateError `in_use`; `invalid_option` for a folder that one of our nodes wrote;
 *   `corrupt_record` when the database itself is damaged.
 */
export async function* readKoFolder(
  directory: string,
  onBroken: (row: BrokenRow) => void,
): AsyncGenerator<StoredRecord, void, undefined> {
  const database = new Level<Uint8Array, Uint8Array>(directory, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    createIfMissing: false,
  })
  try {
    await database.open()
    await refuseOwn(database)
    yield* readRows(database, onBroken)
  } catch (error) {
    throw error instanceof StateError ? error : failure(error)
  } finally {
    await database.close()
  }
}

type KoDatabase = Level<Uint8Array, Uint8Array>

async function* readRows(
  database: KoDatabase,
  onBroken: (row: BrokenRow) => void,
): AsyncGenerator<StoredRecord, void, undefined> {
  const rows = database.iterator({ highWaterMarkBytes: PAGE_BYTES })
  try {
    for (
      let page = await rows.nextv(PAGE_ROWS);
      page.length > 0;
      page = await rows.nextv(PAGE_ROWS)
    ) {
      for (const [key, value] of page) {
        let record: StoredRecord
        try {
          record = decodeKoRow(key, value)
        } catch (error) {
          onBroken({ key: new TextDecoder().decode(key), reason: reasonOf(error) })
          continue
        }
        yield record
      }
    }
  } finally {
    await rows.close()
  }
}

/** @throws Error naming what is wrong with the row. */
export function decodeKoRow(rowKey: Uint8Array, rowValue: Uint8Array): StoredRecord {
  const key = textOf(rowKey, 'the key')
  if (!isValidKey(key) || hasGlob(key)) throw new Error('its key is none that an entry can have')
  if (rowValue.length === 0) throw new Error('it is empty')
  const root = parseNodes(compactJson(textOf(rowValue, 'it')))
  if (root.kind !== 'object') throw new Error(`it is no object but ${shorten(root.raw)}`)
  const data = root.members.get('data')
  if (data === undefined) throw new Error('it has no "data"')
  return {
    kind: 'entry',
    key,
    created: stampOf(root.members, 'created'),
    updated: stampOf(root.members, 'updated'),
    origin: KO_ORIGIN,
    data: data.raw,
  }
}

function textOf(bytes: Uint8Array, what: string): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new Error(`${what} is not UTF-8`, { cause })
  }
}

function stampOf(members: ReadonlyMap<string, JsonNode>, name: string): bigint {
  const raw = members.get(name)?.raw
  if (raw !== undefined && /^\d{1,19}$/.test(raw)) {
    const stamp = BigInt(raw)
    if (stamp <= MAX_STAMP) return stamp
  }
  throw new Error(
    `its "${name}" is ${raw === undefined ? 'missing' : shorten(raw)}, not nanoseconds`,
  )
}

/** Our format row is no key that the older server could have written, for its value is no object. */
async function refuseOwn(database: KoDatabase): Promise<void> {
  const format = await database.get(new TextEncoder().encode('m/format'))
  if (format === undefined || !/^\d+$/.test(new TextDecoder().decode(format))) return
  throw new StateError(
    'invalid_option',
    'import: the folder is the data of a node of this release, not of a Go server; ooo backup reads it',
  )
}

function failure(error: unknown): StateError {
  const reason = error instanceof Error && error.cause !== undefined ? error.cause : error
  const code = reason instanceof Error && 'code' in reason ? reason.code : undefined
  const text = `import: ${errorText(reason)}`
  if (code === 'LEVEL_LOCKED') return new StateError('in_use', text, { cause: error })
  return new StateError(code === 'LEVEL_CORRUPTION' ? 'corrupt_record' : 'storage_failed', text, {
    cause: error,
  })
}
