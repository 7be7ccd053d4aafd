/** Ports for processes that must come back under the same address. */

import { once } from 'node:events'
import * as net from 'node:net'

/**
 * Below the range from which systems pick ports for outgoing connections (32768 and up on Linux):
 * a node that is down keeps its port free, whatever its peers dial meanwhile.
 */
const FIRST_PORT = 20_000
const LAST_PORT = 32_000

/**
 * Test files that run at the same time pick from parts of the range that do not overlap: the port of a
 * node that is down is not to be taken by a server of another file.
 */
const PARTS = 8
const PART_PORTS = Math.floor((LAST_PORT - FIRST_PORT) / PARTS)
const FIRST_OF_PART = FIRST_PORT + PART_PORTS * (Number(process.env.VITEST_POOL_ID ?? 0) % PARTS)

const given = new Set<number>()

/** A TCP port of 127.0.0.1 that is free now and that this process has not given out before. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = FIRST_OF_PART + Math.floor(Math.random() * PART_PORTS)
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
  throw new Error(`no free port found in ${PART_PORTS} from ${FIRST_OF_PART} on`)
}

async function isFree(port: number): Promise<boolean> {
  const server = net.createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    if (server.listening) {
      server.close()
      await once(server, 'close')
    }
  }
}
