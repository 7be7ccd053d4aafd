/** `ooo verify`: whether a backup is whole, and what it holds. */
import { type BackupReport, inspectBackup } from '../../backup/inspect-backup.ts'
import { openBackup } from '../command/backup-file.ts'
import { type Command, type CommandContext, EXIT } from '../command/command.ts'
import { interruptible, until } from '../command/interruptible.ts'
import { createProgress, formatBytes, formatCount, plural } from '../terminal/progress.ts'

export const VERIFY: Command = {
  name: 'verify',
  summary: 'checks a backup from end to end and tells what it holds',
  operands: 'FILE',
  operandCount: [1, 1],
  settings: [],
  notes: [
    'FILE may be - for standard input. Exit code 0: it is whole; 1: it is damaged, or no backup. What is damaged is told with its position, and so is what can still be read.',
  ],
  run: ({ positionals: [file = ''] }, context) =>
    interruptible(context, (signal) => verify(file, context, signal)),
}

async function verify(file: string, context: CommandContext, signal: AbortSignal): Promise<number> {
  const { report, bytes } = await checkFile(file, context, signal)
  context.stdout(formatReport(report, bytes))
  if (report.damageCount === 0) {
    context.stdout('whole: every checksum matches\n')
    return EXIT.done
  }
  for (const { text } of report.damage) context.stderr(`ooo: ${file}: ${text}\n`)
  const more = report.damageCount - report.damage.length
  if (more > 0) context.stderr(`ooo: ${file}: ${plural(more, 'more place')} damaged\n`)
  context.stdout(verdict(report))
  return EXIT.failed
}

/** Reads a file to its end, with progress. */
export async function checkFile(
  file: string,
  context: CommandContext,
  signal: AbortSignal,
): Promise<{ readonly report: BackupReport; readonly bytes: number }> {
  const backup = await openBackup(context, file)
  const progress = createProgress({
    label: 'verify',
    total: backup.size,
    isTerminal: context.stderrIsTerminal ?? false,
    write: (text) => context.stderr(text),
  })
  try {
    const report = await inspectBackup(until(signal, backup.events()), (records) =>
      progress.update(backup.read, plural(records, 'record')),
    )
    return { report, bytes: backup.read }
  } finally {
    progress.finish()
  }
}

/** What a backup holds, as lines of name and value. */
export function formatReport(report: BackupReport, bytes: number): string {
  const { header, format } = report
  const rows: [name: string, value: string][] = []
  if (header !== undefined) {
    rows.push(['made', `${header.createdAt} by ${header.from}`], ['node', header.node])
    rows.push(['as of', `commit ${header.seq} of epoch ${header.epoch || '-'}`])
    if (header.scopes.length > 0) rows.push(['keys', header.scopes.join(', ')])
  }
  rows.push(['format', `${format ?? 'unknown'}, ${formatBytes(bytes)}`])
  rows.push(['entries', formatCount(report.entries)])
  rows.push(['tombstones', formatCount(report.tombstones)])
  if (report.firstKey !== undefined) rows.push(['first key', report.firstKey])
  if (report.lastKey !== undefined) rows.push(['last key', report.lastKey])
  if (report.newest > 0n) rows.push(['newest', stampText(report.newest)])
  if (report.excessCount > 0) {
    rows.push(['too great', `${plural(report.excessCount, 'record')} beyond what is written now:`])
    for (const text of report.excess) rows.push(['', text])
  }
  const { totals } = report
  if (totals !== undefined) {
    rows.push(['digest', totals.digest])
    // The backup is whole, but what it was made from was not.
    if (totals.damaged.length > 0) rows.push(['left out', totals.damaged.join(', ')])
    for (const finding of totals.findings) rows.push(['source', finding])
  }
  return rows.map(([name, value]) => `${name.padEnd(11)} ${oneLine(value)}\n`).join('')
}

function verdict({ records, totals }: BackupReport): string {
  if (records === 0) return 'damaged: nothing can be read\n'
  const of = totals === undefined ? '' : ` of ${formatCount(totals.records)}`
  return `damaged: ${formatCount(records)}${of} records can be read; ooo restore --salvage takes them\n`
}

/** A stamp with the time it stands for. */
function stampText(stamp: bigint): string {
  const date = new Date(Number(stamp / 1_000_000n))
  return Number.isNaN(date.getTime()) ? String(stamp) : `${stamp} (${date.toISOString()})`
}

/** A file may say anything of itself: control characters would write on the terminal. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ')
}
