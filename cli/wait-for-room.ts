/** Starting a node on a full disk: it waits until there is room, and does not end. */
import { setTimeout as delay } from 'node:timers/promises'
import { isStateError } from '../src/core/errors.ts'
import type { Logger } from '../src/core/logger.ts'
import type { Server } from '../src/server/server.ts'

/** Milliseconds between two attempts. */
const RETRY_MS = 2000

/**
 * Opens a server, trying again while its storage has no room.
 * @param make a server that has not been opened.
 * @param stop ends the wait; undefined is the result then.
 * @throws what `open` throws for any other reason, with the server closed.
 */
export async function openWithRoom(
  make: () => Promise<Server>,
  stop: Promise<unknown>,
  logger: Logger,
): Promise<Server | undefined> {
  let isStopped = false
  void stop.then(() => {
    isStopped = true
  })
  for (let attempt = 1; !isStopped; attempt++) {
    const server = await make()
    try {
      await server.open()
      return server
    } catch (error) {
      await server.close()
      if (!isFull(error)) throw error
      if (attempt === 1)
        logger.error('there is no room to start: waiting for it', errorField(error))
    }
    await Promise.race([stop, delay(RETRY_MS)])
  }
  return undefined
}

/** Also where it is the cause of another error. */
function isFull(error: unknown): boolean {
  for (let link = error, i = 0; link instanceof Error && i < 10; link = link.cause, i++) {
    if (isStateError(link, 'storage_full')) return true
  }
  return false
}

function errorField(error: unknown): { error: string } {
  return { error: error instanceof Error ? error.message : String(error) }
}
