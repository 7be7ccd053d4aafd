/** `ooo backup`: everything a node holds, as one file. */
import { NO_FLAWS } from '../../backup/format/header.ts'
import type { BackupReport } from '../../backup/inspect-backup.ts'
import { writeBackup } from '../../backup/write-backup.ts'
import { assertFree, STANDARD, saveBackup } from '../command/backup-file.ts'
import { type Command, type CommandContext, EXIT } from '../command/command.ts'
import { interruptible, until } from '../command/interruptible.ts'
import { withStopped } from '../offline/stopped-node.ts'
import { fetchBackup } from '../requests/node-requests.ts'
import { BACKUP_SETTINGS, placeOf } from '../settings/backup-settings.ts'
import type { ParsedArguments } from '../settings/reading/arguments.ts'
import { resolveSettings, settingsOf } from '../settings/reading/resolve.ts'
import { formatBytes, plural } from '../terminal/progress.ts'

export const BACKUP: Command = {
  name: 'backup',
  summary: 'writes everything a node holds to a file, also while it serves',
  operands: '[URL] FILE',
  operandCount: [1, 1],
  takesUrlOperand: true,
  settings: settingsOf(BACKUP_SETTINGS),
  notes: [
    'FILE gets its name only when it is whole and on disk; - is standard output.',
    'A backup holds every key, deleted ones as tombstones, whatever filters hide: keep it as you keep the data.',
    'Exit code 1 and a message tell also when the data itself is damaged: what is intact is in the backup.',
  ],
  run: (args, context) => interruptible(context, (signal) => backup(args, context, signal)),
}

async function backup(
  args: ParsedArguments,
  context: CommandContext,
  signal: AbortSignal,
): Promise<number> {
  const [file = ''] = args.positionals
  const flags = { flags: args.flags, env: context.env }
  const { format, force } = resolveSettings(BACKUP_SETTINGS, flags).values
  const place = placeOf(args, context.env)
  const target = { file, force }
  assertFree(target)
  if (place.kind === 'node') {
    const chunks = until(signal, fetchBackup(place, format, signal))
    return reportSaved(context, file, await saveBackup(context, chunks, target))
  }
  return withStopped(place, async ({ header, records, flaws }) => {
    const chunks = until(signal, writeBackup(header, records, { format, flaws }))
    return reportSaved(context, file, await saveBackup(context, chunks, target))
  })
}

function reportSaved(
  context: CommandContext,
  file: string,
  { report, bytes }: { readonly report: BackupReport; readonly bytes: number },
): number {
  const { entries, tombstones, totals } = report
  const name = file === STANDARD ? 'backup' : file
  const holds = `${plural(entries, 'entry', 'entries')} and ${plural(tombstones, 'tombstone')}`
  context.stderr(`ooo: ${name}: ${holds}, ${formatBytes(bytes)}\n`)
  const { damaged, findings } = totals ?? NO_FLAWS
  for (const finding of findings) context.stderr(`ooo: the data is damaged: ${finding}\n`)
  if (damaged.length > 0) {
    const count = `${plural(damaged.length, 'record')}${damaged.length === 100 ? ' or more' : ''}`
    const keys = damaged.slice(0, 10).join(', ')
    context.stderr(`ooo: the data is damaged: ${count} left out of the backup: ${keys}\n`)
  }
  return findings.length === 0 && damaged.length === 0 ? EXIT.done : EXIT.failed
}
