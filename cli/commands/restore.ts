/** `ooo restore`: a new data folder out of a backup, or its records into a running node. */
import type { BackupEvent } from '../../backup/format/event.ts'
import type { BackupHeader } from '../../backup/format/header.ts'
import { encodeRecordLine, sealRecordLine } from '../../backup/format/record-line.ts'
import type { RestoreCounts } from '../../backup/restore-records.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import { openBackup, STANDARD } from '../command/backup-file.ts'
import { type Command, type CommandContext, EXIT } from '../command/command.ts'
import { interruptible, until } from '../command/interruptible.ts'
import { makeNode } from '../offline/stopped-node.ts'
import { sendRecords } from '../requests/node-requests.ts'
import { type Place, placeOf, RESTORE_SETTINGS } from '../settings/backup-settings.ts'
import type { ParsedArguments } from '../settings/reading/arguments.ts'
import { resolveSettings, settingsOf } from '../settings/reading/resolve.ts'
import { createProgress, plural } from '../terminal/progress.ts'
import { checkFile } from './verify.ts'

export const RESTORE: Command = {
  name: 'restore',
  summary: 'makes a data folder from a backup, or merges a backup into a running node',
  operands: '[URL] FILE',
  operandCount: [1, 1],
  takesUrlOperand: true,
  settings: settingsOf(RESTORE_SETTINGS),
  notes: [
    'FILE may be binary or jsonl; - is standard input.',
    'Into DIR: the node keeps its id and starts a new epoch of its change log, so that other nodes compare with it in full: what they have that is newer than the backup comes back. DIR must be empty or absent.',
    'Into a running node: per key the newer of backup and node is kept. Keys deleted after the backup stay deleted.',
  ],
  run: (args, context) => interruptible(context, (signal) => restore(args, context, signal)),
}

async function restore(
  args: ParsedArguments,
  context: CommandContext,
  signal: AbortSignal,
): Promise<number> {
  const [file = ''] = args.positionals
  const given = { flags: args.flags, env: context.env }
  const { force, salvage, newId } = resolveSettings(RESTORE_SETTINGS, given).values
  const place = placeOf(args, context.env)
  // Half a merge cannot be taken back, so the file is read once before; a folder is made aside anyway.
  if (place.kind === 'node' && file !== STANDARD && !salvage) {
    const { report } = await checkFile(file, context, signal)
    const [damage] = report.damage
    if (damage !== undefined) throw damagedFile(file, damage.text)
  }
  const backup = await openBackup(context, file)
  const opened = await readHeader(until(signal, backup.events()))
  const { header } = opened
  // Without an id in the header the new node makes its own.
  const source =
    newId && header !== undefined ? { ...opened, header: { ...header, node: '' } } : opened
  const progress = createProgress({
    label: 'restore',
    total: backup.size,
    isTerminal: context.stderrIsTerminal ?? false,
    write: (text) => context.stderr(text),
  })
  const onProgress = (records: number): void =>
    progress.update(backup.read, plural(records, 'record'))
  try {
    const isVouched = !salvage && file !== STANDARD
    const options = { force, salvage, isVouched, signal, onProgress }
    return await take(context, place, source, options, { name: file, done: 'restored' })
  } finally {
    progress.finish()
  }
}

export interface TakeOptions {
  readonly force: boolean
  readonly salvage: boolean
  /** The source was read to its end before, and is whole. */
  readonly isVouched: boolean
  readonly signal: AbortSignal
  readonly onProgress: (records: number) => void
}

/** Puts records where they belong and tells what became of them. Also for what is imported. */
export async function take(
  context: CommandContext,
  place: Place,
  { header, events }: Opened,
  options: TakeOptions,
  { name, done }: { readonly name: string; readonly done: 'restored' | 'imported' },
): Promise<number> {
  if (place.kind === 'node') {
    const { signal, onProgress } = options
    const found = { damage: 0, unsealed: new WeakSet<StoredRecord>() }
    const records = recordsOf(events, options, found)
    const encode = (record: StoredRecord): string => {
      const line = encodeRecordLine(record)
      return found.unsealed.has(record) ? line : sealRecordLine(line)
    }
    const counts = await sendRecords(place, records, encode, signal, onProgress)
    return reportRestored(
      context,
      { ...counts, damage: found.damage },
      `${name}: merged into ${place.url}`,
    )
  }
  const { result, aside } = await makeNode(place, header, events, options)
  const where = place.kind === 'folder' ? place.directory : `namespace ${place.namespace}`
  if (aside !== undefined) context.stderr(`ooo: what was in ${where} is now in ${aside}\n`)
  return reportRestored(context, result, `${name}: ${done} into ${where}`)
}

function reportRestored(context: CommandContext, counts: RestoreCounts, what: string): number {
  const { applied, equal, superseded, refused, restamped, damage } = counts
  const others = [
    equal > 0 ? `, ${plural(equal, 'was there', 'were there')} already` : '',
    superseded > 0 ? `, ${plural(superseded, 'was', 'were')} superseded by newer ones` : '',
  ]
  context.stderr(`ooo: ${what}: ${plural(applied, 'record')} applied${others.join('')}\n`)
  if (restamped > 0) {
    const why = 'a wrong clock had stamped them in the future; all else is as in the backup'
    context.stderr(`ooo: restamped ${restamped} of them, in their order: ${why}\n`)
  }
  if (refused > 0) {
    const why =
      'no node may hold them, or they are greater than it takes; its /?api=storage says why'
    context.stderr(`ooo: ${plural(refused, 'record was', 'records were')} left out: ${why}\n`)
  }
  if (damage === 0) return refused === 0 ? EXIT.done : EXIT.failed
  context.stderr(`ooo: ${plural(damage, 'damaged place')} passed over: the backup was not whole\n`)
  return EXIT.failed
}

async function* recordsOf(
  events: AsyncIterable<BackupEvent>,
  { salvage, isVouched }: Pick<TakeOptions, 'salvage' | 'isVouched'>,
  found: { damage: number; readonly unsealed: WeakSet<StoredRecord> },
): AsyncGenerator<StoredRecord, void, undefined> {
  for await (const event of events) {
    if (event.type === 'records') {
      const isUnsealed = event.isUnsealed === true && !isVouched
      if (isUnsealed) for (const record of event.records) found.unsealed.add(record)
      yield* event.records
    }
    if (event.type !== 'damage') continue
    if (!salvage) throw new StateError('corrupt_record', event.damage.text)
    found.damage += 1
  }
}

/** A backup with its header read ahead; `events` gives everything, the header too. */
export interface Opened {
  readonly header: BackupHeader | undefined
  readonly events: AsyncIterable<BackupEvent>
}

/** Events looked at for a header: a damaged start is some of them. */
const MAX_LOOKED_AT = 100

/** Reads up to the header, or to the first record when there is none. */
async function readHeader(all: AsyncIterable<BackupEvent>): Promise<Opened> {
  const iterator = all[Symbol.asyncIterator]()
  const first: BackupEvent[] = []
  let header: BackupHeader | undefined
  while (header === undefined && first.length < MAX_LOOKED_AT) {
    const next = await iterator.next()
    if (next.done === true) break
    first.push(next.value)
    if (next.value.type === 'header') header = next.value.header
    else if (next.value.type === 'records') break
  }
  async function* events(): AsyncGenerator<BackupEvent, void, undefined> {
    yield* first
    try {
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
        yield next.value
      }
    } finally {
      await iterator.return?.()
    }
  }
  return { header, events: events() }
}

function damagedFile(file: string, text: string): StateError {
  return new StateError(
    'corrupt_record',
    `${file}: ${text}; nothing was merged; --salvage takes what can be read`,
  )
}
