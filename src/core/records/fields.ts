/**
 * Reading a record's fields from another node, a disk or a backup. Fields that this release does not know
 * are kept as they are: a later release gave them, and may want them back.
 */
import { LATEST_STAMP } from '../data/clock.ts'
import { type RecordFields, type StoredRecord, withFields } from '../data/entry.ts'
import { canonicalMarks, changesIn } from '../data/marks.ts'

/** Fields of one record at most. */
const MAX_FIELDS = 16
/** Characters of one field at most. */
const MAX_LENGTH = 8192

const NAME = /^[a-z][a-z0-9-]{0,31}$/
const TEXT = /^[!-~]*$/
const WAS = /^\d{1,19}@[\w-]{1,64}(?:,\d{1,19}@[\w-]{1,64}){0,15}$/

/** What a record is given that has these fields, in their one spelling; undefined where one is wrong. */
export function readFields(given: Readonly<Record<string, unknown>>): RecordFields | undefined {
  const entries = Object.entries(given)
  if (entries.length === 0 || entries.length > MAX_FIELDS) return undefined
  const fields: Record<string, string> = {}
  for (const [name, value] of entries.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const text = readField(name, value)
    if (text === undefined) return undefined
    fields[name] = text
  }
  return fields
}

function readField(name: string, value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > MAX_LENGTH) return undefined
  if (!NAME.test(name) || !TEXT.test(value)) return undefined
  if (name === 'marks') return canonicalMarks(value)
  if (name === 'was') return WAS.test(value) && isOfStamps(value) ? value : undefined
  return value
}

/** A restamp makes marks of these, which are judged by the greatest stamp as well. */
function isOfStamps(was: string): boolean {
  return changesIn(was).every(({ version }) => version <= LATEST_STAMP)
}

/** Characters that the fields of a record take in a message or row. */
export function fieldsLength(record: StoredRecord): number {
  return record.fields === undefined ? 0 : fieldsText(record).length
}

/** ` <name>=<text>` for each field, names ascending; empty for none. */
export function fieldsText({ fields = {} }: StoredRecord): string {
  return Object.keys(fields)
    .sort()
    .map((name) => ` ${name}=${fields[name]}`)
    .join('')
}

/** The record with the fields of `words`, as `fieldsText` spells them; undefined where one is wrong. */
export function withFieldWords<Kind extends StoredRecord>(
  record: Kind,
  words: readonly string[],
): Kind | undefined {
  if (words.length === 0) return record
  const pairs = words.map((word): [string, string] => {
    const at = word.indexOf('=')
    return [word.slice(0, Math.max(at, 0)), word.slice(at + 1)]
  })
  const fields = readFields(Object.fromEntries(pairs))
  return fields === undefined ? undefined : withFields(record, fields)
}
