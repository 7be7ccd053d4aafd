/** When a write counts as done, as requests, the process's own code and the client say it. */
import { describe, expect, it } from 'vitest'
import { createClient } from '../../../src/client/index.ts'
import { StateError } from '../../../src/core/errors.ts'
import type {
  BatchOperation,
  BatchOptions,
  Durability,
  StorageCapabilities,
} from '../../../src/core/ports/storage-adapter.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, serve, type TestServer } from '../serve.ts'

/** A disk that notes the level of each batch, and can be full. */
class NotingStorage extends MemoryStorage {
  override readonly capabilities: StorageCapabilities = {
    durability: ['process', 'disk'],
    persistent: true,
  }
  readonly levels: (Durability | undefined)[] = []
  isFull = false

  override async batch(
    operations: readonly BatchOperation[],
    options?: BatchOptions,
  ): Promise<void> {
    this.levels.push(options?.durability)
    if (this.isFull) throw new StateError('storage_full', 'storage: no space left')
    return super.batch(operations, { durability: 'process' })
  }
}

async function serveNoting(): Promise<{ node: TestServer; storage: NotingStorage }> {
  const storage = new NotingStorage()
  const node = await serve({ storage })
  storage.levels.length = 0
  return { node, storage }
}

const BATCH = '{"operations":[{"op":"set","path":"a","data":1},{"op":"delete","path":"a"}]}'

describe('a request with ?durability=', () => {
  it.each([
    ['POST', '/a', '{"n":1}'],
    ['POST', '/items/*', '{"n":1}'],
    ['PATCH', '/there', '{"n":2}'],
    ['DELETE', '/there', undefined],
    ['DELETE', '/list/*', undefined],
    ['POST', '/-/batch', BATCH],
  ])('%s %s is written at that level, else at the default', async (method, path, body) => {
    const { node, storage } = await serveNoting()
    const levels: (Durability | undefined)[] = []
    for (const query of ['', '?durability=disk', '?durability=process']) {
      await node.post('/there', '{"n":1}')
      await node.post('/list/b', '{"n":1}')
      storage.levels.length = 0
      const { status } = await node.request(method, `${path}${query}`, body)
      expect(status).toBeLessThan(300)
      levels.push(...storage.levels)
    }
    expect(levels).toEqual([undefined, 'disk', 'process'])
  })

  it.each([
    ['always', '"always"'],
    ['', '""'],
    ['Disk', '"Disk"'],
    ['disk&durability=process', '"disk, process"'],
  ])('is refused with the levels there are when it is %s', async (value, shown) => {
    const { node, storage } = await serveNoting()
    const text = `ooo: durability ${shown} is not one of: memory, process, disk`
    for (const [method, path, body] of [
      ['POST', '/a', '1'],
      ['PATCH', '/a', '{}'],
      ['DELETE', '/a', undefined],
      ['POST', '/-/batch', BATCH],
    ] as const) {
      const answer = await node.request(method, `${path}?durability=${value}`, body)
      expect(answer).toMatchObject({ status: 400, body: text })
    }
    expect(storage.levels).toEqual([])
  })

  it('is refused when the storage has no such level', async () => {
    const node = await serve()
    expect(await node.post('/a?durability=disk', '1')).toMatchObject({
      status: 400,
      body: 'storage: durability "disk" is not one of: memory',
    })
    expect((await node.get('/a')).status).toBe(404)
  })

  it('means nothing to a read', async () => {
    const node = await serve()
    expect((await node.get('/items/*?durability=never')).status).toBe(200)
  })
})

describe('the level of one write', () => {
  it('is an option in the process', async () => {
    const { node, storage } = await serveNoting()
    const options = { durability: 'disk' } as const
    await node.server.set('a', { n: 1 }, options)
    await node.server.patch('a', { n: 2 }, options)
    await node.server.push('items/*', 1, options)
    await node.server.delete('a', options)
    await node.server.set('a', 1)
    expect(storage.levels).toEqual(['disk', 'disk', 'disk', 'disk', undefined])
  })

  it('is an option of the client, and its refusal is told from others', async () => {
    const { node, storage } = await serveNoting()
    const client = createClient({ url: node.url })
    afterTest(() => client.close())
    const options = { durability: 'disk' } as const
    await client.set('a', { n: 1 }, options)
    await client.patch('a', { n: 2 }, options)
    await client.push('items/*', 1, options)
    await client.delete('a', options)
    await client.set('a', 1)
    expect(storage.levels).toEqual(['disk', 'disk', 'disk', 'disk', undefined])
    storage.isFull = true
    await expect(client.set('a', 2, options)).rejects.toMatchObject({ code: 'storage_full' })
    const inMemory = createClient({ url: (await serve()).url })
    afterTest(() => inMemory.close())
    await expect(inMemory.set('a', 1, options)).rejects.toMatchObject({ code: 'invalid_option' })
  })
})

describe('durability memory on a storage that fails', () => {
  it('answers, says so to those who ask how the node is, and stores the rest when it can', async () => {
    const { node, storage } = await serveNoting()
    const ready = async (): Promise<string> => (await node.get('/-/readyz')).body
    const well = '{"status":"ready","reasons":[]}\n'
    expect(await ready()).toBe(well)
    storage.isFull = true
    expect((await node.post('/a?durability=memory', '1')).status).toBe(200)
    await waitFor(async () => (await ready()) !== well)
    expect(await ready()).toMatch(
      /^\{"status":"ready","reasons":\["writes are refused: [^"]+","\d+ rows of answered writes could not be stored yet"\]\}\n$/,
    )
    expect(JSON.parse((await node.get('/?api=storage')).body)).toMatchObject({
      durability: ['process', 'disk'],
      waitingRows: expect.any(Number),
    })
    // Nothing more is answered early while rows wait.
    expect(await node.post('/b?durability=memory', '1')).toMatchObject({ status: 507 })
    expect((await node.get('/a')).status).toBe(200)
    storage.isFull = false
    await waitFor(async () => (await ready()) === well)
    expect(await storage.get('e/a')).toContain('\n1')
  })
})
