/** Data that is larger than the memory there is. */
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { type Answer, request } from '../support/http.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { type SizedNode, type SizedNodeOptions, startSizedNode } from '../support/sized-node.ts'
import { Subscriber } from '../support/subscriber.ts'
import { waitFor } from '../support/wait.ts'

const ENTRIES = 200_000
/** Too little for the data, 40 MB of values alone, in any form. */
const HEAP_MIB = 48
const CACHE_BYTES = 4 * 2 ** 20

let directory = ''
let node: SizedNode | undefined
const agent = new Agent({ keepAlive: true, maxSockets: 16 })

const start = async (options: Partial<SizedNodeOptions>): Promise<SizedNode> => {
  node = await startSizedNode({ directory, cache: CACHE_BYTES, heapMiB: HEAP_MIB, ...options })
  return node
}
const ask = (method: string, path: string, body?: string): Promise<Answer> =>
  request(method, `${node?.url}/${path}`, { agent, ...(body === undefined ? {} : { body }) })
const keyOf = (number: number): string => `items/k${String(number).padStart(7, '0')}`

beforeAll(async () => {
  await prepareBuild()
  directory = await mkdtemp(join(tmpdir(), 'ooo-size-'))
  const filling = await startSizedNode({ directory, cache: 'all', heapMiB: 512, fill: ENTRIES })
  await filling.close()
}, 600_000)
afterEach(async () => {
  await node?.close()
  node = undefined
})
afterAll(async () => {
  agent.destroy()
  await rm(directory, { recursive: true, force: true })
})

describe(`${ENTRIES} entries, a cache of 4 MiB and a heap of ${HEAP_MIB} MiB`, () => {
  it('the newest are listed, any is read, all can be written and followed', async () => {
    await start({})
    const newest = await ask('GET', 'items/*?order=newest&limit=100')
    const numbers = (JSON.parse(newest.body) as { data: { n: number } }[]).map(({ data }) => data.n)
    expect(numbers).toEqual(Array.from({ length: 100 }, (_, i) => ENTRIES - 1 - i))

    const random = new SeededRandom(1)
    const keys = Array.from({ length: 2000 }, () => keyOf(random.below(ENTRIES)))
    const followed = await Subscriber.open(node?.url ?? '', keyOf(7))
    for (const key of keys.slice(0, 1000)) {
      expect(await ask('GET', key)).toMatchObject({ status: 200 })
    }
    for (const key of keys.slice(1000)) {
      expect(await ask('POST', key, '{"written":true}')).toMatchObject({ status: 200 })
    }
    await ask('POST', keyOf(7), '"seen"')
    await waitFor(() => followed.data() === 'seen', {
      what: 'the change of the followed key',
    })
    followed.close()
    expect((await ask('GET', keys.at(-1) ?? '')).body).toContain('{"written":true}')
  }, 600_000)

  it('takes little more than key, value and 300 bytes each where everything is in memory', async () => {
    const { heapUsed } = await (await start({ cache: 'all', heapMiB: 512 })).memory()
    expect(heapUsed / ENTRIES).toBeLessThan(200 + 14 + 300)
  }, 600_000)

  it('does not open where everything is to be kept in memory: the heap is too small for that', async () => {
    await expect(start({ cache: 'all' })).rejects.toThrow('heap out of memory')
  }, 600_000)
})
