/** The program of a fan-out worker: started by `workers/link.ts`, it ends with the channel to its parent. */
import type { Socket } from 'node:net'
import { createSystemTime } from '../process/system-time.ts'
import type { FromWorker, ToWorker } from './messages.ts'
import { WorkerNode } from './node.ts'

let node: WorkerNode | undefined

const post = (message: FromWorker): void => {
  // Without the channel there is nobody to tell, and `disconnect` ends this process.
  process.send?.(message, () => undefined)
}

process.on('message', (message: ToWorker, socket: Socket | undefined) => {
  if (message.kind === 'setup') {
    node ??= new WorkerNode(message.settings, createSystemTime(), post)
    post({ kind: 'ready' })
  } else node?.hear(message, socket)
})
process.on('disconnect', () => {
  node?.close()
  process.exit(0)
})
// The parent decides when its workers end: a signal to the whole group is meant for it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
