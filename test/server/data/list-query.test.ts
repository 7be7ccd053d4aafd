import { describe, expect, it } from 'vitest'
import { run } from '../../../cli/run.ts'
import { createClient } from '../../../src/client/index.ts'
import { listRangeOf } from '../../../src/server/data/query.ts'
import { afterTest, serve, type TestServer } from '../serve.ts'

/** A server with l/0 … l/4, created at 100, 200, … 500. */
async function listServer(): Promise<TestServer> {
  const node = await serve()
  for (let n = 0; n < 5; n++) {
    const created = BigInt(n + 1) * 100n
    await node.server.database.setWithMeta(`l/${n}`, `${n}`, { created, updated: 0n })
  }
  return node
}

async function values(node: TestServer, query: string): Promise<unknown[]> {
  const { status, body } = await node.get(`/l/*${query}`)
  expect([query, status]).toEqual([query, 200])
  return (JSON.parse(body) as { data: unknown }[]).map(({ data }) => data)
}

describe('GET of a list', () => {
  it.each([
    ['', [4, 3, 2, 1, 0]],
    ['?order=newest', [4, 3, 2, 1, 0]],
    ['?order=oldest', [0, 1, 2, 3, 4]],
    ['?limit=2', [4, 3]],
    ['?order=oldest&limit=2', [0, 1]],
    ['?limit=99', [4, 3, 2, 1, 0]],
    ['?from=200&to=400', [3, 2, 1]],
    ['?from=200&to=400&limit=1&order=oldest', [1]],
    ['?from=400', [4, 3]],
    ['?to=100', [0]],
    ['?from=9223372036854775807', []],
    ['?from=300&to=300', [2]],
    ['?whatever=1', [4, 3, 2, 1, 0]],
  ])('%s', async (query, expected) => {
    expect(await values(await listServer(), query)).toEqual(expected)
  })

  it.each([
    ['?order=up', 'ooo: order must be newest or oldest, not "up"'],
    ['?limit=0', 'ooo: limit must be an integer from 1 to 9007199254740991, not "0"'],
    ['?limit=1.5', 'not "1.5"'],
    ['?limit=', 'not ""'],
    ['?limit=9007199254740993', 'not "9007199254740993"'],
    ['?from=-1', 'ooo: from must be nanoseconds, an integer from 0 to 9223372036854775807'],
    ['?to=9223372036854775808', 'ooo: to must be nanoseconds'],
    ['?to=yesterday', 'not "yesterday"'],
    ['?from=2&to=1', 'storage: invalid range, to (1) must not be less than from (2)'],
    ['?limit=1&limit=2', 'ooo: limit must be given once, not 2 times'],
  ])('%s is refused with what it may be', async (query, text) => {
    const { status, body } = await (await serve()).get(`/l/*${query}`)
    expect(status).toBe(400)
    expect(body).toContain(text)
  })

  it('means nothing for one key', async () => {
    const node = await listServer()
    expect((await node.get('/l/1?limit=nonsense')).status).toBe(200)
  })

  it('counts only what filters show, and shows nothing that they hide', async () => {
    const node = await listServer()
    const { filters } = node.server
    filters.readList('l/*', (_key, entries) =>
      entries.filter(({ index }) => index !== '2').slice(0, 3),
    )
    expect(await values(node, '')).toEqual([4, 3, 1])
    expect(await values(node, '?limit=2&to=400')).toEqual([3, 1])
    expect(await values(node, '?to=200')).toEqual([1])
    expect(await values(node, '?from=100&to=100')).toEqual([])
  })

  it('takes an address that is no more than a question mark', () => {
    expect(listRangeOf('/l/*?')).toEqual({})
    expect(listRangeOf(undefined)).toEqual({})
  })
})

it('the client and in-process calls ask for the same', async () => {
  const node = await listServer()
  const client = createClient({ url: node.url })
  afterTest(() => client.close())
  const range = { order: 'oldest', limit: 2, from: 200n, to: 500n } as const
  const remote = await client.getList('l/*', range)
  const local = await node.server.getList('l/*', range)
  expect(remote.map(({ data }) => data)).toEqual([1, 2])
  expect(local.map(({ data }) => data)).toEqual([1, 2])
  await expect(client.getList('l/*', { limit: 0 })).rejects.toMatchObject({
    code: 'invalid_option',
    message: expect.stringContaining('limit must be an integer from 1') as string,
  })
  await expect(client.getList('l/*', { from: 2n, to: 1n })).rejects.toMatchObject({
    code: 'invalid_option',
  })
})

describe('ooo get', () => {
  async function get(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    let stdout = ''
    let stderr = ''
    const code = await run(['get', ...argv], {
      env: {},
      stdout: (text) => {
        stdout += text
      },
      stderr: (text) => {
        stderr += text
      },
      readStdin: async () => '',
      onSignal: () => () => undefined,
      onOutputClosed: () => undefined,
      exitNow: () => undefined,
    })
    return { code, stdout, stderr }
  }

  it('prints the entries of a list that its flags name', async () => {
    const { url } = await listServer()
    const { code, stdout } = await get('--order=oldest', '--limit=2', '--from=200', url, 'l/*')
    expect(code).toBe(0)
    const lines = stdout.trim().split('\n')
    expect(lines.map((line) => (JSON.parse(line) as { data: unknown }).data)).toEqual([1, 2])
  })

  it.each([
    [['--limit=0', 'http://127.0.0.1:1', 'l/*'], 'a whole number from 1'],
    [['--order=up', 'http://127.0.0.1:1', 'l/*'], 'one of newest, oldest'],
    [['--to=soon', 'http://127.0.0.1:1', 'l/*'], 'nanoseconds since 1970'],
    [['--limit=1', 'http://127.0.0.1:1', 'a'], '--limit is for lists, and a is one key'],
  ])('refuses %j', async (argv, text) => {
    const { code, stderr } = await get(...argv)
    expect(code).toBe(2)
    expect(stderr).toContain(text)
  })
})
