/** What large values cost a node whose heap is that of a small machine: a real process, 256 MiB. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { prepareBuild } from '../../support/built.ts'
import { type SizedNode, startSizedNode } from '../../support/sized-node.ts'

const MIB = 1024 * 1024
const HEAP_MIB = 256
/** Peak of memory per byte of such a value beyond that of an idle node: text, its bytes, positions. */
const MAX_MULTIPLE = 40

let directory: string
let node: SizedNode | undefined

beforeAll(prepareBuild)
afterEach(async () => {
  await node?.close()
  node = undefined
  await rm(directory, { recursive: true, force: true })
})

async function start(): Promise<SizedNode> {
  directory = await mkdtemp(join(tmpdir(), 'ooo-json-memory-'))
  node = await startSizedNode({ directory, cache: 'all', heapMiB: HEAP_MIB })
  return node
}

const repeated = (item: string, bytes: number): string =>
  `[${`${item},`.repeat(Math.floor(bytes / (item.length + 1)) - 1)}${item}]`

const VALUES: readonly (readonly [string, string])[] = [
  ['empty objects', repeated('{}', 3 * MIB)],
  ['small objects', repeated('{"b":1,"a":2}', 3 * MIB)],
  ['numbers', repeated('1', 3 * MIB)],
  ['objects in objects', repeated('{"a":{}}', 3 * MIB)],
]

async function send(url: string, method: string, body: string): Promise<number> {
  const answer = await fetch(url, { method, body })
  await answer.arrayBuffer()
  return answer.status
}

describe('3 MiB of many small values, on a node with a heap of 256 MiB', () => {
  it.each(VALUES)('%s are merged, shown and patched', async (_name, text) => {
    const { url, memory } = await start()
    const idle = await memory()
    const key = `${url}/doc`
    expect(await send(key, 'POST', text)).toBe(200)
    expect(await send(key, 'PATCH', '{"0":{"q":1}}')).toBe(200)
    const socket = new WebSocket(key.replace('http', 'ws'))
    const frames: number[] = []
    let heard = (): void => undefined
    socket.on('message', (data) => {
      frames.push((data as Buffer).length)
      heard()
    })
    const frame = (count: number): Promise<void> =>
      new Promise((resolve, reject) => {
        socket.once('close', () => reject(new Error('the socket was closed')))
        heard = () => {
          if (frames.length >= count) resolve()
        }
        heard()
      })
    await frame(1)
    expect(frames[0]).toBeGreaterThan(2 * MIB)
    expect(await send(key, 'PATCH', '{"1":{"q":2}}')).toBe(200)
    await frame(2)
    socket.terminate()
    const { peakRss } = await memory()
    expect((peakRss - idle.rss) / text.length).toBeLessThan(MAX_MULTIPLE)
  })

  it('travel in a batch', async () => {
    const { url } = await start()
    const operations = VALUES.slice(0, 1).map(
      ([, data], i) => `{"op":"set","path":"doc${i}","data":${data}}`,
    )
    expect(await send(`${url}/-/batch`, 'POST', `{"operations":[${operations.join(',')}]}`)).toBe(
      200,
    )
  })
})
