/** Many PATCHes of a large document at once, on a node whose heap is that of a small machine. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, it } from 'vitest'
import { prepareBuild } from '../../support/built.ts'
import { type SizedNode, startSizedNode } from '../../support/sized-node.ts'
import { serve } from '../serve.ts'

const HEAP_MIB = 256
const PATCHES = 20

let directory: string | undefined
let node: SizedNode | undefined

beforeAll(prepareBuild)
afterEach(async () => {
  await node?.close()
  node = undefined
  if (directory !== undefined) await rm(directory, { recursive: true, force: true })
  directory = undefined
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
  const node = await serve({ maxBodiesBytes: 1024 * 1024 })
  const document = JSON.stringify({ text: 'x'.repeat(300_000) })
  for (let i = 0; i < 4; i++) await node.server.database.set(`doc${i}`, document)
  const batch = (count: number): Promise<{ status: number; body: string }> => {
    const operations = Array.from(
      { length: count },
      (_, i) => `{"op":"patch","path":"doc${i}","data":{"added":true}}`,
    )
    return node.request('POST', '/-/batch', `{"operations":[${operations.join(',')}]}`)
  }
  expect(await batch(3)).toMatchObject({ status: 200 })
  const refused = await batch(4)
  expect(refused.status).toBe(413)
  expect(refused.body).toMatch(
    /^operations\[3\]: ooo: the batch merges into \d+ characters.*1048576$/,
  )
})
