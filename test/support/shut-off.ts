/**
 * Set up before each file of the project `quick`: whoever opens a socket or starts a process or a
 * thread there gets an error, also where the product does it.
 */
import childProcess from 'node:child_process'
import dgram from 'node:dgram'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import workerThreads from 'node:worker_threads'

/** A function, so that it can stand for a class too. */
function refuse(what: string): () => never {
  return function refused(): never {
    throw new Error(`a test of the project "quick" may not ${what}; see vitest.config.ts`)
  }
}

net.Socket.prototype.connect = refuse('open a connection')
net.Server.prototype.listen = refuse('listen')
dgram.Socket.prototype.bind = refuse('bind a socket')
const noProcess = refuse('start a process')
Object.assign(childProcess.ChildProcess.prototype, { spawn: noProcess })
for (const name of ['spawnSync', 'execSync', 'execFileSync'] as const) {
  childProcess[name] = noProcess as never
}
workerThreads.Worker = refuse('start a thread') as never
syncBuiltinESMExports()
