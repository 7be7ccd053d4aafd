/** A node in a unit of systemd, whose socket is played by a program: Node has no such sockets. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { notifySystemd, writesToJournal } from '../../cli/start/systemd.ts'
import { createConsoleLogger } from '../../cli/terminal/console-logger.ts'
import { SILENT_LOGGER } from '../../src/core/ports/logger.ts'
import { waitFor } from '../support/wait.ts'

const LISTENER = `
import socket, sys
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind(sys.argv[1])
while True: print(heard.recv(4096).decode(), flush=True)
`
const WAIT = { deadlineMs: 20_000 }

const hasPrograms = ['systemd-notify', 'python3'].every(
  (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0,
)

let folder = ''
let listener: ChildProcess | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ooo-systemd-'))
})
afterEach(() => {
  listener?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

describe('systemd', () => {
  it('is told of the start, again and again that the node is alive, and of the stop', async (context) => {
    if (!hasPrograms) context.skip('systemd-notify and python3 are not both on PATH')
    const path = join(folder, 'notify')
    let heard = ''
    listener = spawn('python3', ['-c', LISTENER, path])
    listener.stdout?.on('data', (chunk) => {
      heard += String(chunk)
    })
    await waitFor(() => existsSync(path), WAIT)
    const env = { ...process.env, NOTIFY_SOCKET: path, WATCHDOG_USEC: '100000' }
    const stop = notifySystemd(env, SILENT_LOGGER)
    await waitFor(() => heard.includes('READY=1'), WAIT)
    await waitFor(() => heard.split('WATCHDOG=1').length > 3, WAIT)
    stop()
    await waitFor(() => heard.includes('STOPPING=1'), WAIT)
  })

  it('that can not be told is mentioned once, and stops nothing', async () => {
    const warnings: string[] = []
    const warn = (text: string): void => void warnings.push(text)
    const env = { NOTIFY_SOCKET: join(folder, 'nobody'), WATCHDOG_USEC: '20000', PATH: folder }
    const stop = notifySystemd(env, { ...SILENT_LOGGER, warn })
    await waitFor(() => warnings.length > 0, WAIT)
    stop()
    expect(warnings).toEqual(['systemd could not be told'])
  })

  it('is not told anything outside of a unit', () => {
    expect(notifySystemd({}, SILENT_LOGGER)()).toBeUndefined()
  })
})

describe('the journal', () => {
  it('is known by the stream that stderr is, and not by the variable alone', () => {
    const file = openSync(join(folder, 'stream'), 'w')
    const { dev, ino } = fstatSync(file, { bigint: true })
    expect(writesToJournal({ JOURNAL_STREAM: `${dev}:${ino}` }, file)).toBe(true)
    expect(writesToJournal({ JOURNAL_STREAM: `${dev}:${ino + 1n}` }, file)).toBe(false)
    expect(writesToJournal({}, file)).toBe(false)
    closeSync(file)
  })

  it('gets lines with a priority and without a time', () => {
    const lines: string[] = []
    const write = (line: string): void => void lines.push(line)
    const logger = createConsoleLogger({ level: 'debug', write, journal: true })
    logger.debug('a')
    logger.info('b', { n: 1 })
    logger.warn('c')
    logger.error('d\n<0>e')
    expect(lines).toEqual([
      '<7>debug a\n',
      '<6>info b n=1\n',
      '<4>warn c\n',
      '<3>error d\\u000a<0>e\n',
    ])
  })
})
