/** Files of backups: written under another name until they are whole, and read with their position. */
import { createReadStream, existsSync } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { BackupEvent } from '../../backup/format/event.ts'
import { type BackupReport, inspectBackup } from '../../backup/inspect-backup.ts'
import { readBackup } from '../../backup/read-backup.ts'
import { errorText, StateError } from '../../src/core/errors.ts'
import { createProgress, formatBytes, plural } from '../terminal/progress.ts'
import type { CommandContext } from './command.ts'

/** The name that stands for standard input or output. */
export const STANDARD = '-'

export interface SaveOptions {
  /** `-` for standard output. */
  readonly file: string
  /** Replaces a file that is there. */
  readonly force: boolean
}

/** @throws StateError `in_use` when the file is there and may not be replaced. */
export function assertFree({ file, force }: SaveOptions): void {
  if (file === STANDARD || force || !existsSync(file)) return
  throw new StateError('in_use', `${file}: is there already; --force replaces it`)
}

/**
 * Writes the bytes of a backup to the file and checks them on their way. The file has its name only once
 * it is whole and synced; after an error nothing is left of it.
 * @throws StateError `storage_failed`, or `corrupt_record` when what came is no whole backup.
 */
export async function saveBackup(
  context: CommandContext,
  chunks: AsyncIterable<Uint8Array>,
  options: SaveOptions,
): Promise<{ readonly report: BackupReport; readonly bytes: number }> {
  const { file } = options
  const sink = file === STANDARD ? standardOutput(context) : await temporaryFile(file)
  const progress = createProgress({
    label: 'backup',
    isTerminal: context.stderrIsTerminal ?? false,
    write: (text) => context.stderr(text),
  })
  let bytes = 0
  async function* written(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      await sink.write(chunk)
      bytes += chunk.length
      yield chunk
    }
  }
  try {
    const report = await inspectBackup(readBackup(written()), (records) =>
      progress.update(bytes, `${plural(records, 'record')}, ${formatBytes(bytes)}`),
    )
    const [damage] = report.damage
    if (damage !== undefined) {
      throw new StateError('corrupt_record', `the backup did not come whole: ${damage.text}`)
    }
    await sink.commit()
    return { report, bytes }
  } catch (error) {
    await sink.discard()
    throw error
  } finally {
    progress.finish()
  }
}

interface Sink {
  write(bytes: Uint8Array): Promise<void>
  commit(): Promise<void>
  discard(): Promise<void>
}

function standardOutput({ stdoutBytes }: CommandContext): Sink {
  if (stdoutBytes === undefined) {
    throw new StateError('invalid_option', '-: there is no standard output for bytes here')
  }
  const nothing = async (): Promise<void> => undefined
  const write = async (bytes: Uint8Array): Promise<void> => {
    await stdoutBytes(bytes).catch((cause: unknown) => {
      throw new StateError('unreachable', `standard output: ${errorText(cause)}`, { cause })
    })
  }
  return { write, commit: nothing, discard: nothing }
}

async function temporaryFile(file: string): Promise<Sink> {
  const folder = dirname(file)
  const temporary = join(folder, `.${basename(file)}.partial-${process.pid}`)
  const failed = (error: unknown): never => {
    throw new StateError('storage_failed', `${file}: ${errorText(error)}`, { cause: error })
  }
  const handle = await open(temporary, 'wx', 0o600).catch(failed)
  return {
    write: async (bytes) => {
      await handle.writeFile(bytes).catch(failed)
    },
    commit: async () => {
      try {
        await handle.sync()
        await handle.close()
        await rename(temporary, file)
        const parent = await open(folder, 'r')
        await parent.sync().finally(() => parent.close())
      } catch (error) {
        failed(error)
      }
    },
    discard: async () => {
      await handle.close().catch(() => undefined)
      await rm(temporary, { force: true })
    },
  }
}

/** An opened backup: its contents, and how far its bytes have been read. */
export interface OpenedBackup {
  events(): AsyncIterable<BackupEvent>
  /** Bytes read by the latest `events`. */
  readonly read: number
  /** Bytes of the file; undefined for standard input. */
  readonly size: number | undefined
}

/** @throws StateError `invalid_option` when there is none, or `storage_failed` when the file cannot be read. */
export async function openBackup(context: CommandContext, file: string): Promise<OpenedBackup> {
  let read = 0
  async function* counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    read = 0
    for await (const chunk of chunks) {
      read += chunk.length
      yield chunk
    }
  }
  const size = file === STANDARD ? undefined : await sizeOf(file)
  return {
    size,
    get read() {
      return read
    },
    events: () => readBackup(counted(bytesOf(context, file))),
  }
}

function bytesOf({ stdinBytes }: CommandContext, file: string): AsyncIterable<Uint8Array> {
  if (file !== STANDARD) return createReadStream(file, { highWaterMark: 256 * 1024 })
  if (stdinBytes === undefined) {
    throw new StateError('invalid_option', '-: there is no standard input here')
  }
  return stdinBytes()
}

async function sizeOf(file: string): Promise<number> {
  const found = await stat(file).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code === 'ENOENT') throw new StateError('invalid_option', `${file}: no such file`)
    throw new StateError('storage_failed', `${file}: ${errorText(cause)}`, { cause })
  })
  if (found.isFile()) return found.size
  throw new StateError('invalid_option', `${file}: is no file`)
}
