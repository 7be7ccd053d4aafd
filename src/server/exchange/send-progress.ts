/** How much of what was handed to a connection the network has taken. */
import type { Socket } from 'node:net'

/**
 * Bytes the network took. A write counts when it is done; of the one under way, what its handle still holds
 * tells as well, so that one large frame on a slow line is not taken for a standstill. Node itself looks at
 * the handle for its socket timeouts, but has no public name for it: without it, whole writes count.
 */
export function sendProgress(socket: Socket): number {
  const handle: { readonly writeQueueSize?: unknown } | null | undefined = Reflect.get(
    socket,
    '_handle',
  )
  const waiting = handle?.writeQueueSize
  const done = socket.bytesWritten - socket.writableLength
  return typeof waiting === 'number' ? done - waiting : done
}
