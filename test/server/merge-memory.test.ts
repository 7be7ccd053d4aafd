/** Many PATCHes of a large document at once, on a node whose heap is that of a small machine. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { type SizedNode, startSizedNode } from '../support/sized-node.ts'

const HEAP_MIB = 256
const PATCHES = 20

let directory: string
let node: SizedNode | undefined

beforeAll(prepareBuild)
afterEach(async () => {
  await node?.close()
  node = undefined
  await rm(directory, { recursive: true, force: true })
})

/** An object of 130 000 members, about 3 MB. */
function largeDocument(value: number): string {
  const members = Array.from({ length: 130_000 }, (_, i) => `"member-${i}":"${value}-${i}"`)
  return `{${members.join(',')}}`
}

async function start(): Promise<string> {
  directory = await mkdtemp(join(tmpdir(), 'ooo-merge-memory-'))
  node = await startSizedNode({ directory, cache: 'all', heapMiB: HEAP_MIB })
  return node.url
}

/** Every write is made or refused for room; nothing else may come of it. */
async function send(url: string, method: string, body: string): Promise<number> {
  const answer = await fetch(url, { method, body })
  await answer.arrayBuffer()
  if (answer.status === 503) expect(answer.headers.get('retry-after')).toMatch(/^\d+$/)
  return answer.status
}

it('PATCHes of one document and of many, all at once, are merged or refused', async () => {
  const url = await start()
  for (let i = 0; i < 4; i++)
    expect(await send(`${url}/doc${i}`, 'POST', largeDocument(0))).toBe(200)
  const one = Array.from({ length: PATCHES }, (_, i) =>
    send(`${url}/doc0`, 'PATCH', `{"added-${i}":true}`),
  )
  const many = Array.from({ length: PATCHES }, (_, i) =>
    send(`${url}/doc${1 + (i % 3)}`, 'PATCH', `{"added-${i}":true}`),
  )
  const statuses = await Promise.all([...one, ...many])
  expect(new Set(statuses.filter((status) => status !== 503))).toEqual(new Set([200]))
  const stored = (await (await fetch(`${url}/doc0`)).json()) as { data: Record<string, unknown> }
  for (let i = 0; i < PATCHES; i++) {
    // A write that was told 503 after its deadline may still be made.
    if (statuses[i] === 200) expect(stored.data[`added-${i}`]).toBe(true)
  }
}, 120_000)

it('a batch whose merges together are beyond the room is refused', async () => {
  const url = await start()
  for (let i = 0; i < 4; i++)
    expect(await send(`${url}/doc${i}`, 'POST', largeDocument(0))).toBe(200)
  const operations = Array.from(
    { length: 200 },
    (_, i) => `{"op":"patch","path":"doc${i % 4}","data":{"added-${i}":true}}`,
  )
  const body = `{"operations":[${operations.join(',')}]}`
  expect(await send(`${url}/-/batch`, 'POST', body)).toBe(413)
  expect(await send(`${url}/doc0`, 'PATCH', '{"last":true}')).toBe(200)
}, 120_000)
