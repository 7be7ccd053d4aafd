/** A node as a process of its own with a bounded heap, on a LevelDB folder of a chosen size. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export interface SizedNodeOptions {
  /** Folder of the database; it stays when the node ends. */
  readonly directory: string
  /** Bytes of records kept in memory, or all. */
  readonly cache: number | 'all'
  /** MiB of heap for what lives long (`--max-old-space-size`). */
  readonly heapMiB: number
  /** Entries, `items/k0000000` and on, that are written once the node is open. Default 0. */
  readonly fill?: number
  /** Bytes of each of their values, JSON, about. Default 200. */
  readonly valueBytes?: number
}

/** Bytes. */
export interface MemoryUse {
  readonly rss: number
  /** `rss` without mapped files, where the system tells it. */
  readonly own: number
  /** What is reachable on the heap: garbage was collected before. */
  readonly heapUsed: number
  /** The greatest `rss` so far. */
  readonly peakRss: number
}

export interface SizedNode {
  readonly url: string
  /** Milliseconds that opening took, without the entries written then. */
  readonly openMs: number
  memory(): Promise<MemoryUse>
  /** Closes it, and waits until the process has ended. Idempotent. */
  close(): Promise<void>
}

/** Characters of standard error kept for the message of a node that did not start. */
const MAX_OUTPUT = 4000

/** Resolves once the node is open and filled. Rejects when it ends before: out of memory, as a rule. */
export async function startSizedNode(options: SizedNodeOptions): Promise<SizedNode> {
  const { directory, cache, heapMiB, fill = 0, valueBytes = 200 } = options
  const child = fork(
    join(import.meta.dirname, 'sized-node.mjs'),
    [directory, String(cache), String(fill), String(valueBytes)],
    {
      execArgv: ['--expose-gc', `--max-old-space-size=${heapMiB}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    },
  )
  // Not `close`, which never comes once the channel was closed from this side.
  const ended = once(child, 'exit')
  const end = (): boolean => child.kill('SIGKILL')
  process.once('exit', end)
  ended.then(() => process.off('exit', end))
  const { openMs, url } = await answer<{ openMs: number; url: string }>(child)
  return {
    url,
    openMs,
    memory() {
      child.send('memory')
      return answer<MemoryUse>(child)
    },
    async close() {
      if (child.connected) child.disconnect()
      await ended
    },
  }
}

/** The next message of the process. */
function answer<Message>(child: ChildProcess): Promise<Message> {
  let errors = ''
  const collect = (text: Buffer): void => {
    errors = (errors + String(text)).slice(-MAX_OUTPUT)
  }
  child.stderr?.on('data', collect)
  return new Promise<Message>((resolve, reject) => {
    const onClose = (code: number | null, signal: string | null): void => {
      child.off('message', onMessage)
      reject(new Error(`the node ended (${signal ?? code}): ${errors}`))
    }
    const onMessage = (message: unknown): void => {
      child.off('close', onClose)
      resolve(message as Message)
    }
    child.once('message', onMessage).once('close', onClose)
  }).finally(() => child.stderr?.off('data', collect).resume())
}
