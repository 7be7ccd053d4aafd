/** `ooo import`: the data of an older Go server, into a new data folder or a running node. */
import type { BackupEvent } from '../../backup/format/event.ts'
import type { BackupHeader } from '../../backup/format/header.ts'
import { type BrokenRow, readKoFolder } from '../../backup/ko-records.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import { newNodeId } from '../../src/server/process/node-id.ts'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { type Command, type CommandContext, EXIT } from '../command/command.ts'
import { interruptible, until } from '../command/interruptible.ts'
import { snapshotFolder } from '../offline/folder-snapshot.ts'
import { IMPORT_SETTINGS, placeOf } from '../settings/backup-settings.ts'
import type { ParsedArguments } from '../settings/reading/arguments.ts'
import { resolveSettings, settingsOf } from '../settings/reading/resolve.ts'
import { createProgress, plural } from '../terminal/progress.ts'
import { take } from './restore.ts'

/** Records handed on at once. */
const PAGE_RECORDS = 500
/** Broken rows named one by one; more are counted. */
const MAX_NAMED = 100

export const IMPORT: Command = {
  name: 'import',
  summary: 'takes over the data folder of a Go server',
  operands: '[URL]',
  operandCount: [0, 0],
  takesUrlOperand: true,
  settings: settingsOf(IMPORT_SETTINGS),
  notes: [
    'Stop the Go server first. Keys, stamps and data are kept exactly. Into --data a new node is made; into --url the entries are merged, per key the newer one is kept, so an import may be repeated.',
    'Rows that are no entries are named and left out; the exit code is then 1.',
  ],
  run: (args, context) => interruptible(context, (signal) => importData(args, context, signal)),
}

async function importData(
  args: ParsedArguments,
  context: CommandContext,
  signal: AbortSignal,
): Promise<number> {
  const given = { flags: args.flags, env: context.env }
  const { fromKo, force } = resolveSettings(IMPORT_SETTINGS, given).values
  if (fromKo === undefined) {
    throw new StateError('invalid_option', 'nothing to import; give --from-ko DIR')
  }
  const place = placeOf(args, context.env)
  const progress = createProgress({
    label: 'import',
    isTerminal: context.stderrIsTerminal ?? false,
    write: (text) => context.stderr(text),
  })
  const onProgress = (records: number): void => progress.update(records, plural(records, 'record'))
  const broken = new BrokenRows(context)
  const snapshot = await snapshotFolder(fromKo)
  try {
    broken.note(await repairFiles(snapshot.directory))
    const records = readKoFolder(snapshot.directory, (row) => broken.add(row))
    const events = until(signal, eventsOf(records))
    const options = { force, salvage: false, isVouched: true, signal, onProgress }
    const what = { name: fromKo, done: 'imported' } as const
    await take(context, place, { header: koHeader(), events }, options, what)
  } finally {
    progress.finish()
    await snapshot.release()
  }
  return broken.outcome()
}

/** Names what is left out as it is met, and counts it. */
class BrokenRows {
  readonly #context: CommandContext
  #count = 0
  #damage: string | undefined

  constructor(context: CommandContext) {
    this.#context = context
  }

  add({ key, reason }: BrokenRow): void {
    this.#count += 1
    if (this.#count > MAX_NAMED) return
    this.#context.stderr(`ooo: left out ${JSON.stringify(key.slice(0, 200))}: ${reason}\n`)
  }

  /** What is damaged beyond rows; undefined when nothing is. */
  note(damage: string | undefined): void {
    this.#damage = damage
    if (damage === undefined) return
    this.#context.stderr(`ooo: the data is damaged, what is intact is imported: ${damage}\n`)
  }

  outcome(): number {
    if (this.#count === 0) return this.#damage === undefined ? EXIT.done : EXIT.failed
    this.#context.stderr(
      `ooo: ${plural(this.#count, 'row is no entry and was', 'rows are no entries and were')} left out; all others are imported\n`,
    )
    return EXIT.failed
  }
}

/**
 * Looks through the files of the copy, which reading alone would not: LevelDB serves damaged blocks.
 * @returns what was damaged, and is now passed over.
 */
async function repairFiles(directory: string): Promise<string | undefined> {
  const storage = new LevelStorage({ directory })
  await storage.open()
  const { damage } = storage
  await storage.close()
  return damage
}

function koHeader(): BackupHeader {
  return {
    node: newNodeId(),
    from: 'ko',
    epoch: '',
    seq: 0,
    clock: 0n,
    createdAt: new Date().toISOString(),
    scopes: [],
  }
}

async function* eventsOf(
  records: AsyncIterable<StoredRecord>,
): AsyncGenerator<BackupEvent, void, undefined> {
  let page: StoredRecord[] = []
  for await (const record of records) {
    page.push(record)
    if (page.length < PAGE_RECORDS) continue
    yield { type: 'records', position: 0, records: page }
    page = []
  }
  if (page.length > 0) yield { type: 'records', position: 0, records: page }
}
