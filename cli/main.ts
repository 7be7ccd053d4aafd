#!/usr/bin/env node
/** The `ooo` command: connects this process to `run`. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { CommandContext, StopSignal } from './command/command.ts'
import { run } from './run.ts'

const STOP_SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

const outputListeners: (() => void)[] = []

const context: CommandContext = {
  env: process.env,
  stdout: (output) => process.stdout.write(output),
  stderr: (output) => process.stderr.write(output),
  stdoutBytes: async (bytes) => {
    if (!process.stdout.write(bytes)) await once(process.stdout, 'drain')
  },
  stdinBytes: () => process.stdin,
  stderrIsTerminal: process.stderr.isTTY ?? false,
  readStdin: () => text(process.stdin),
  onSignal: (listener) => {
    for (const signal of STOP_SIGNALS) process.on(signal, listener)
    return () => {
      for (const signal of STOP_SIGNALS) process.off(signal, listener)
    }
  },
  onOutputClosed: (listener) => outputListeners.push(listener),
  exitNow: (code) => process.exit(code),
}

// A reader that has gone away (`ooo get 'items/*' | head -1`, or a supervisor that was killed)
// is no failure of what runs here.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    if (stream !== process.stdout) return
    for (const listener of outputListeners.splice(0)) listener()
  })
}

const code = await run(process.argv.slice(2), context)
// Exits rather than drains: idle keep-alive sockets would hold the process for seconds.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
