/** Typed data access inside the process. */
import { describe, expect, it } from 'vitest'
import { JsonNumber } from '../../../src/core/json/number.ts'
import { createServer } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { serve } from '../serve.ts'

interface Point {
  readonly x: number
  readonly y?: number
}

describe('get', () => {
  it('gives the value with its stamps, undefined when there is none', async () => {
    const { server } = await serve()
    expect(await server.get('a/b')).toBeUndefined()
    const first = await server.set<Point>('a/b', { x: 1 })
    expect(first).toEqual({
      index: 'b',
      path: 'a/b',
      version: expect.any(BigInt),
      id: `${server.store.id}:${first.version}`,
    })
    const created = first.version
    expect(await server.get<Point>('a/b')).toEqual({
      ...{ created, updated: 0n, index: 'b', path: 'a/b', data: { x: 1 } },
    })
    const { version: updated } = await server.set<Point>('a/b', { x: 2 })
    const entry = await server.get<Point>('a/b')
    expect(entry).toMatchObject({ created, updated, data: { x: 2 } })
    expect(entry?.data.x).toBe(2)
  })

  it('loses no digit, in or out', async () => {
    const { server } = await serve()
    const value = { big: 2n ** 64n, small: 7n, spelt: new JsonNumber('1.50') }
    await server.set('n', value)
    expect((await server.store.get('n'))?.data).toBe(
      '{"big":18446744073709551616,"small":7,"spelt":1.50}',
    )
    expect((await server.get('n'))?.data).toEqual({ big: 2n ** 64n, small: 7, spelt: 1.5 })
  })

  it('sees what REST wrote, and the other way round', async () => {
    const server = await serve()
    await server.post('/k', '{"x":1}')
    expect((await server.server.get<Point>('k'))?.data).toEqual({ x: 1 })
    await server.server.patch<Partial<Point>>('k', { y: 2 })
    expect((await server.get('/k')).body).toContain('"data":{"x":1,"y":2}')
  })
})

describe('getList', () => {
  it('is oldest first unless asked otherwise, cut after the limit', async () => {
    const { server } = await serve()
    for (const x of [1, 2, 3]) await server.push<Point>('points/*', { x })
    const values = async (options?: Parameters<typeof server.getList>[1]): Promise<number[]> =>
      (await server.getList<Point>('points/*', options)).map(({ data }) => data.x)
    expect(await values()).toEqual([1, 2, 3])
    expect(await values({ limit: 2 })).toEqual([1, 2])
    expect(await values({ order: 'newest', limit: 2 })).toEqual([3, 2])
    expect(await values({ limit: 10 })).toEqual([1, 2, 3])
    await expect(values({ limit: 0 })).rejects.toThrow('limit must be an integer from 1, not 0')
    await expect(values({ limit: 1.5 })).rejects.toThrow('limit')
  })

  it('reads the newest few without touching the rest', async () => {
    const { server } = await serve()
    const operations = Array.from({ length: 50_000 }, (_, i) => server.store.set(`t/${i}`, `${i}`))
    await Promise.all(operations)
    /** Milliseconds of the quickest of several reads: what else the machine did is in the others. */
    const quickest = async (limit: number): Promise<number> => {
      let best = Number.POSITIVE_INFINITY
      for (let i = 0; i < 50; i++) {
        const start = performance.now()
        await server.getList('t/*', { order: 'newest', limit })
        best = Math.min(best, performance.now() - start)
      }
      return best
    }
    const [few, all] = [await quickest(10), await quickest(50_000)]
    expect((await server.getList('t/*', { order: 'newest', limit: 1 }))[0]?.data).toBe(49_999)
    expect(few).toBeLessThan(all / 20)
  })
})

describe('writes', () => {
  it('push under a new key, patch deeply, delete', async () => {
    const { server } = await serve()
    const { index, path } = await server.push('log/*', { a: { b: 1 } })
    expect(path).toBe(`log/${index}`)
    const { version } = await server.patch(path, { a: { c: 2 } })
    expect(await server.get(path)).toMatchObject({ updated: version, data: { a: { b: 1, c: 2 } } })
    await expect(server.patch(path, { a: 1 })).rejects.toMatchObject({
      code: 'merge_conflict',
      message: 'merge: patch value must be object for key "a"',
    })
    await server.delete(path)
    expect(await server.get(path)).toBeUndefined()
    await expect(server.delete(path)).rejects.toMatchObject({ code: 'not_found' })
    await expect(server.patch(path, {})).rejects.toMatchObject({ code: 'not_found' })
  })

  it('reach subscribers', async () => {
    const server = await serve()
    const subscriber = await server.subscribe('/a')
    await server.server.set('a', { x: 1n })
    await subscriber.frame(1)
    expect(subscriber.state).toContain('"x":1')
  })

  it('are not subject to static mode', async () => {
    const server = await serve({ static: true })
    await server.server.set('a', 1)
    await server.server.patch('a', 2)
    const { path } = await server.server.push('l/*', 1)
    expect(await server.server.getList('l/*')).toHaveLength(1)
    await server.server.delete(path)
    expect((await server.server.get('a'))?.data).toBe(1)
    expect((await server.get('/a')).status).toBe(400)
  })

  it('refuse what JSON cannot say', async () => {
    const { server } = await serve()
    for (const value of [undefined, Number.NaN, () => 1]) {
      await expect(server.set('a', value)).rejects.toMatchObject({ code: 'invalid_json' })
    }
  })
})

describe('paths', () => {
  it.each([
    ['get', 'io: path glob not allowed'],
    ['set', 'io: path glob not allowed'],
    ['patch', 'io: path glob not allowed'],
    ['delete', 'io: path glob not allowed'],
  ] as const)('%s takes no glob', async (method, message) => {
    const { server } = await serve()
    await expect(server[method]('a/*', 1 as never)).rejects.toMatchObject({
      code: 'invalid_glob',
      message,
    })
  })

  it('getList and push need one', async () => {
    const { server } = await serve()
    for (const glob of ['a', 'a*', 'a/*/b']) {
      await expect(server.getList(glob)).rejects.toMatchObject({
        message: 'io: path glob required',
      })
    }
    await expect(server.push('a', 1)).rejects.toMatchObject({
      message: 'storage: glob pattern required for this operation',
    })
  })

  it.each(['get', 'set', 'push', 'patch', 'delete', 'getList'] as const)(
    '%s needs a valid key and an open server',
    async (method) => {
      const { server } = await serve()
      await expect(server[method]('a//b', 1 as never)).rejects.toMatchObject({
        code: 'invalid_key',
      })
      const closed = createServer({ storage: new MemoryStorage(), port: 0 })
      const path = method === 'push' || method === 'getList' ? 'a/*' : 'a'
      const options = method === 'getList' ? {} : 1
      await expect(closed[method](path, options as never)).rejects.toMatchObject({
        code: 'not_open',
      })
    },
  )
})
