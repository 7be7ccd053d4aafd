/** A Redis server of its own for a test: a program on a free port that keeps nothing on disk. */
import { mkdtempSync, rmSync } from 'node:fs'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { findProgram, ServerProgram } from './server-program.ts'
import type { RunningService } from './services.ts'

/** The `redis-server` program, or undefined when it is not installed. */
export function findRedis(): string | undefined {
  return findProgram('redis-server', ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin'])
}

/** Starts an empty server. */
export async function startRedisProgram(program: string): Promise<RunningService> {
  const root = mkdtempSync(join(tmpdir(), 'ooo-redis-'))
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const options = { bind: '127.0.0.1', port: String(port), save: '', appendonly: 'no', dir: root }
  const server = new ServerProgram({
    command: program,
    args: Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
    cwd: root,
    isReady: () => redisAnswers(url),
  })
  await server.start()
  return {
    url,
    form: 'program',
    control: {
      start: () => server.start(),
      stop: () => server.signal('SIGTERM'),
      crash: () => server.kill(),
      kill: () => server.kill(),
      freeze: async () => server.freeze(),
      thaw: async () => server.thaw(),
    },
    end: async () => {
      await server.kill()
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** Whether the server at this URL answers a PING. */
export function redisAnswers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), hostname, () => socket.write('PING\r\n'))
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(10_000, () => end(false))
    socket.on('data', (data) => end(data.toString().startsWith('+PONG')))
    socket.on('error', () => end(false))
    socket.on('close', () => end(false))
  })
}
