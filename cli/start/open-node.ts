/**
 * Opening the server of `ooo serve`. On a full disk it waits until there is room, and does not end. A stop ends
 * every wait of a start: for room, a database, another owner of the rows, or a long reading of the storage.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { isStateError } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { Server } from '../../src/server/server.ts'

/** Milliseconds between two attempts. */
const RETRY_MS = 2000
/** Milliseconds that an opening under way has to end in order once a stop is asked for. */
const STOP_GRACE_MS = 500

/**
 * Opens a server, trying again while its storage has no room.
 * @param make a server that has not been opened.
 * @param stop ends the wait with what it resolves with.
 * @returns undefined when it was stopped. What is still opening then is left to the end of the process: a
 * start that is cut off leaves a storage as a killed process does, which every storage survives.
 * @throws what `open` throws for any other reason, with the server closed.
 */
export async function openUnlessStopped(
  make: () => Promise<Server>,
  stop: Promise<string>,
  logger: Logger,
): Promise<Server | undefined> {
  let stopped: string | undefined
  void stop.then((because) => {
    stopped = because
  })
  for (let attempt = 1; stopped === undefined; attempt++) {
    const server = await make()
    const opening = server.open()
    try {
      await Promise.race([opening, stop])
    } catch (error) {
      await server.close()
      if (!isFull(error)) throw error
      if (attempt === 1)
        logger.error('there is no room to start: waiting for it', errorField(error))
      await Promise.race([stop, delay(RETRY_MS)])
      continue
    }
    if (stopped === undefined) return server
    // That it fails is then nobody's concern.
    opening.catch(() => undefined)
    await Promise.race([server.close(), delay(STOP_GRACE_MS)])
  }
  logger.info('stopping', { because: stopped })
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
