/** A glob obeys the limits of keys at every door. */
import { describe, expect, it } from 'vitest'
import { planPlacement } from '../../../cluster/members/placement.ts'
import { MAX_KEY_BYTES, MAX_KEY_SEGMENTS } from '../../../src/core/keys/key.ts'
import { exchange, handshake, serve, type TestServer } from '../serve.ts'

const GREATEST = `${'a'.repeat(MAX_KEY_BYTES - 2)}/*`
const LONG = `a${GREATEST}`
const DEEP = Array(MAX_KEY_SEGMENTS + 1)
  .fill('*')
  .join('/')
const LONG_REFUSAL = `ooo: the glob has ${MAX_KEY_BYTES + 1} bytes, the limit is ${MAX_KEY_BYTES}`
const DEEP_REFUSAL = `ooo: the glob has ${MAX_KEY_SEGMENTS + 1} segments, the limit is ${MAX_KEY_SEGMENTS}`
const REFUSED = [
  ['long', LONG, LONG_REFUSAL],
  ['deep', DEEP, DEEP_REFUSAL],
] as const

const statusOf = async (node: TestServer, method: string, path: string): Promise<string> => {
  const body = method === 'GET' || method === 'DELETE' ? undefined : '{"a":1}'
  const answer = await node.request(method, path, body)
  return `${answer.status} ${String(answer.body)}`
}

describe.each(REFUSED)('a glob that is too %s', (_name, glob, refusal) => {
  it('is refused over HTTP', async () => {
    const node = await serve()
    for (const method of ['GET', 'POST', 'DELETE'])
      expect(await statusOf(node, method, `/${glob}`)).toBe(`400 ${refusal}`)
    const operations = `{"operations":[{"op":"delete","path":"${glob}"}]}`
    const batch = await node.request('POST', '/-/batch', operations)
    expect(`${batch.status} ${batch.body}`).toBe(`400 operations[0]: ${refusal}`)
  })

  it('is refused as a subscription', async () => {
    const { port } = await serve()
    const { status, body } = await exchange(port, handshake(`/${glob}`))
    expect(`${status} ${body}`).toBe(`400 ${refusal}`)
  })

  it('is refused in the process', async () => {
    const { server } = await serve()
    const { database } = server
    await expect(database.list(glob)).rejects.toThrow(refusal)
    await expect(database.keys(glob)).rejects.toThrow(refusal)
    await expect(database.snapshot(glob)).rejects.toThrow(refusal)
    await expect(database.delete(glob)).rejects.toThrow(refusal)
    expect(() => database.watch({ pattern: glob })).toThrow(refusal)
    await expect(server.getList(glob)).rejects.toThrow(refusal)
  })

  it('is refused as a scope of a cluster', () => {
    expect(() => planPlacement([{ path: glob }], undefined, 'nodes/*')).toThrow(refusal)
  })
})

it('a glob as great as a key may be is read', async () => {
  const node = await serve()
  expect(await statusOf(node, 'GET', `/${GREATEST}`)).toBe('200 []')
})

it('the management API takes no filter that is longer than any key', async () => {
  const node = await serve()
  expect(await statusOf(node, 'GET', `/?api=keys&filter=${'a'.repeat(MAX_KEY_BYTES)}`)).toMatch(
    /^200 /,
  )
  expect(await statusOf(node, 'GET', `/?api=keys&filter=${'a'.repeat(MAX_KEY_BYTES + 1)}`)).toBe(
    '400 ooo: filter has 1025 characters, the limit is 1024',
  )
})
