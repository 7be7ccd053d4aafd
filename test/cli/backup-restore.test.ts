import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { OOO_COMMAND } from '../support/built.ts'
import { waitFor } from '../support/wait.ts'
import { BackupBench, contentsOf } from './backup-bench.ts'

const bench = BackupBench.use()

describe('a restore', () => {
  it('refuses a folder with something in it, or moves that aside, never away', async () => {
    const answers = await bench.makeData('old')
    await bench.ooo('backup', '--data', 'old', 'all.ooo')
    await bench.makeData('other', 3)
    const before = await contentsOf(bench.at('other'))
    const refused = await bench.ooo('restore', 'all.ooo', '--data', 'other')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('--force moves what is there aside')
    expect(await contentsOf(bench.at('other'))).toEqual(before)
    const forced = await bench.ooo('restore', 'all.ooo', '--data', 'other', '--force')
    expect(forced.code, forced.stderr).toBe(0)
    const aside = /is now in (other\/before-\S+)/.exec(forced.stderr)?.[1] ?? ''
    expect(await contentsOf(bench.at(aside))).toEqual(before)
    expect(await bench.answersFrom('other')).toEqual(answers)
  })

  it('that was killed is not taken for a whole one, and can be run again', async () => {
    const answers = await bench.makeData('old', 3000)
    await bench.ooo('backup', '--data', 'old', 'all.ooo')
    const bytes = await readFile(bench.at('all.ooo'))
    // Half of the backup comes, and no more: the restore waits for the rest when it is killed.
    const child = spawn(process.execPath, [OOO_COMMAND, 'restore', '-', '--data', 'new'], {
      cwd: bench.folder,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    child.stdin.write(bytes.subarray(0, bytes.length - 100))
    await waitFor(() => existsSync(join(bench.at('new'), '.restoring', 'CURRENT')), {
      deadlineMs: 60_000,
    })
    const meanwhile = await bench.ooo('restore', 'all.ooo', '--data', 'new')
    expect(meanwhile.code).toBe(1)
    expect(meanwhile.stderr).toContain('in use by a node or another restore')
    child.kill('SIGKILL')
    await once(child, 'close')
    const refused = await bench.ooo('serve', '--port', '0', '--data', 'new')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('half restored')
    expect((await bench.ooo('backup', '--data', 'new', 'x')).stderr).toContain('half restored')
    const again = await bench.ooo('restore', 'all.ooo', '--data', 'new')
    expect(again.code, again.stderr).toBe(0)
    expect(await bench.answersFrom('new')).toEqual(answers)
  })

  it('that is interrupted leaves nothing', async () => {
    await bench.makeData('old', 10)
    await bench.ooo('backup', '--data', 'old', 'all.ooo')
    const bytes = await readFile(bench.at('all.ooo'))
    const child = spawn(process.execPath, [OOO_COMMAND, 'restore', '-', '--data', 'new'], {
      cwd: bench.folder,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    child.stdin.write(bytes.subarray(0, bytes.length - 100))
    await waitFor(() => existsSync(join(bench.at('new'), '.restoring', 'CURRENT')), {
      deadlineMs: 60_000,
    })
    const closed = once(child, 'close')
    // It may have ended before the last bytes reach it.
    child.stdin.on('error', () => undefined)
    child.kill('SIGINT')
    await tookSignal(child.pid ?? 0)
    child.stdin.end(bytes.subarray(bytes.length - 100))
    expect((await closed)[0]).toBe(130)
    expect(existsSync(bench.at('new'))).toBe(false)
  })
})

/** Waits until a process has taken what signals it was sent and sleeps again, or is gone. Seen on Linux alone. */
async function tookSignal(pid: number): Promise<void> {
  if (process.platform !== 'linux') return
  await waitFor(async () => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => undefined)
    if (status === undefined || /^State:\tZ/m.test(status)) return true
    return (
      /^State:\tS/m.test(status) && /^SigPnd:\t0+$/m.test(status) && /^ShdPnd:\t0+$/m.test(status)
    )
  })
}
