/** Finds out which TCP ports are free, before anything depends on them. */
import { createServer } from 'node:net'

/** Whether this process could listen on the port. A port that is refused for rights is not free. */
export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** The ports out of `count` from `first` on that are taken. */
export async function takenPorts(host: string, first: number, count: number): Promise<number[]> {
  const taken: number[] = []
  for (let port = first; port < first + count; port++) {
    if (!(await isPortFree(host, port))) taken.push(port)
  }
  return taken
}

/** The first of `count` free ports in a row above `from`, within `tries`, or undefined. */
export async function nextFreeRange(
  host: string,
  from: number,
  count: number,
  tries = 200,
): Promise<number | undefined> {
  for (let first = from + 1; first <= from + tries && first + count - 1 <= 65535; ) {
    const taken = await takenPorts(host, first, count)
    if (taken.length === 0) return first
    first = Math.max(...taken) + 1
  }
  return undefined
}
