/** Whole nodes whose storage is PostgreSQL. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { cluster } from '../../cluster/index.ts'
import { createServer } from '../../src/server/server.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { PostgresStorage } from '../../storage-adapters/postgres/postgres.ts'
import { prepareBuild } from '../support/built.ts'
import { CliProcess, runCli } from '../support/cli-process.ts'
import { type Answer, request } from '../support/http.ts'
import { usePostgres } from '../support/services.ts'
import { ServiceLink } from '../support/services-link.ts'
import { Subscriber } from '../support/subscriber.ts'
import { waitFor } from '../support/wait.ts'

const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function send(method: string, url: string, body?: string): Promise<Answer> {
  return request(method, url, body === undefined ? {} : { body })
}

describe('a server', () => {
  const postgres = usePostgres({ control: true })

  async function serve(url: string): Promise<{ url: string; close(): Promise<void> }> {
    const storage = new PostgresStorage({ url, backoff: { initialMs: 20, maxMs: 100 } })
    const server = createServer({ storage, port: 0 })
    closers.push(() => server.close())
    await server.open()
    return { url: server.address?.url ?? '', close: () => server.close() }
  }

  it('gives back what was written digit for digit, also after a restart', async () => {
    const database = await postgres().createDatabase()
    const data =
      '{"n":12345678901234567890.123456789012345678,"e":1e400,"s":"žluť\\u0000\\ud83d\\ude00"}'
    const first = await serve(database)
    expect((await send('POST', `${first.url}/settings`, data)).status).toBe(200)
    expect((await send('POST', `${first.url}/items/a`, '{"a":1}')).status).toBe(200)
    expect((await send('DELETE', `${first.url}/items/a`)).status).toBe(204)
    const before = (await send('GET', `${first.url}/settings`)).body
    expect(before).toContain(data)
    await first.close()
    const second = await serve(database)
    expect((await send('GET', `${second.url}/settings`)).body).toBe(before)
    expect((await send('GET', `${second.url}/items/*`)).body).toBe('[]')
  })

  it('serves reads and subscriptions while its database is away, and writes when it is back', async () => {
    const { url } = await serve(await postgres().createDatabase())
    const subscriber = await Subscriber.open(url, 'items/*')
    closers.push(() => subscriber.close())
    expect((await send('POST', `${url}/items/before`, '1')).status).toBe(200)
    await postgres().control.crash()
    const refused = await waitFor(async () => {
      const answer = await send('POST', `${url}/items/during`, '2').catch(() => undefined)
      return answer?.status === 503 ? answer : undefined
    })
    expect(refused.body).toMatch(/^(postgres|storage): /)
    expect(refused.body).not.toMatch(/127\.0\.0\.1|localhost|:\d{4,5}|ooo_test|ECONNREFUSED \d/)
    expect(refused.headers['retry-after']).toBe('1')
    for (const path of ['/-/readyz', '/?api=storage']) {
      const { body } = await send('GET', `${url}${path}`)
      expect(body).toMatch(/cannot connect|was lost|was closed/)
      expect(body).not.toMatch(/127\.0\.0\.1|localhost|:\d{4,5}\/|ooo_test|ECONNREFUSED \d/)
    }
    expect(JSON.parse((await send('GET', `${url}/items/before`)).body).data).toBe(1)
    await postgres().control.start()
    const written = async (): Promise<boolean> =>
      (await send('POST', `${url}/items/after`, '3')).status === 200
    await waitFor(written, { deadlineMs: 60_000 })
    await waitFor(() => subscriber.dataByPath()['items/after'] === 3)
    expect(subscriber.problems).toEqual([])
    const seen = subscriber.dataByPath()
    const list = JSON.parse((await send('GET', `${url}/items/*`)).body) as { path: string }[]
    expect(list.map(({ path }) => path).sort()).toEqual(Object.keys(seen).sort())
  })
})

describe('a server whose rows another node took over', () => {
  const postgres = usePostgres()
  const quick = { backoff: { initialMs: 20, maxMs: 100 }, ownershipWaitMs: 20_000 }

  it('refuses reads and writes, ends subscriptions, and says so', async () => {
    const database = await postgres().createDatabase()
    const link = await ServiceLink.to(database)
    closers.push(() => link.close())
    const storage = new PostgresStorage({ ...quick, url: link.url })
    const plugin = cluster({ keys: [{ path: 'items/*' }], openCluster: true })
    const server = createServer({ storage, port: 0, plugins: [plugin] })
    closers.push(() => server.close())
    await server.open()
    const url = server.address?.url ?? ''
    const peer = createServer({
      storage: new MemoryStorage(),
      port: 0,
      plugins: [cluster({ keys: [{ path: 'items/*' }], clusterUrl: url })],
    })
    closers.push(() => peer.close())
    await peer.open()
    await waitFor(() => plugin.status()?.followers.length === 1, { what: 'the follower' })
    expect((await send('POST', `${url}/items/a`, '1')).status).toBe(200)
    const subscriber = await Subscriber.open(url, 'items/*')
    closers.push(() => subscriber.close())
    const watch = server.database.watch({ pattern: 'items/*' })
    const watched = watch.next().then(
      () => 'ended without a reason',
      (error: unknown) => error,
    )
    link.refuse()
    const taker = new PostgresStorage({ ...quick, url: database })
    closers.push(() => taker.close())
    await taker.open()
    link.heal()
    const reason = await server.storageLost
    expect(reason).toMatchObject({ code: 'in_use' })
    await waitFor(() => subscriber.problems.length > 0)
    expect(subscriber.problems[0]).toMatch(/^closed: 4007 storage: .*used by another node/)
    expect(await watched).toMatchObject({ code: 'in_use' })
    for (const [method, path] of [
      ['GET', 'items/a'],
      ['GET', 'items/*'],
      ['POST', 'items/b'],
      ['DELETE', 'items/a'],
    ] as const) {
      const answer = await send(method, `${url}/${path}`, method === 'POST' ? '2' : undefined)
      expect([answer.status, answer.body]).toEqual([
        503,
        expect.stringContaining('used by another node'),
      ])
    }
    for (const key of ['items/*', 'items/new', '', '_pivot/stream']) {
      await expect(Subscriber.open(url, key)).rejects.toThrow('503')
    }
    // Its followers go on without it, and take writes.
    const peerUrl = peer.address?.url ?? ''
    expect((await send('POST', `${peerUrl}/items/b`, '2')).status).toBe(200)
    const ready = await send('GET', `${url}/-/readyz`)
    expect(ready.status).toBe(503)
    expect(JSON.parse(ready.body)).toMatchObject({
      status: 'lost',
      reasons: ['storage: the rows of this node are used by another node'],
    })
    expect((await send('GET', `${url}/?api=storage`)).body).toContain(
      `"lost":"storage: the rows of this node are used by another node"`,
    )
    await taker.close()
    await server.close()
    await server.open()
    expect((await send('GET', `${server.address?.url}/items/a`)).status).toBe(200)
  })
})

describe('ooo serve --postgres', () => {
  const postgres = usePostgres()
  const rounds = Number(process.env.OOO_TEST_ROUNDS ?? 6)
  beforeAll(prepareBuild, 300_000)

  async function start(
    database: string,
    args: readonly string[] = [],
  ): Promise<[CliProcess, string]> {
    const node = new CliProcess(['serve', '--port', '0', '--name', 'kitchen', ...args], {
      env: { OOO_POSTGRES_URL: database },
    })
    closers.push(() => node.dispose())
    const [, url = ''] = await node.output(/ serving (\S+) /)
    return [node, url]
  }

  it.each(['process', 'disk'] as const)(
    `loses no acknowledged write when it is killed again and again, at level %s (${rounds} rounds)`,
    async (durability) => {
      const database = await postgres().createDatabase()
      const acknowledged = new Set<string>()
      for (let round = 0; round < rounds; round += 1) {
        const [node, url] = await start(database, ['--durability', durability])
        const list = JSON.parse((await send('GET', `${url}/items/*`)).body) as { path: string }[]
        const kept = new Set(list.map(({ path }) => path))
        expect([...acknowledged].filter((key) => !kept.has(key))).toEqual([])
        const writer = async (name: string): Promise<void> => {
          for (let i = 0; ; i += 1) {
            const key = `items/${round}-${name}-${i}`
            const answer = await send('POST', `${url}/${key}`, `{"i":${i}}`).catch(() => undefined)
            if (answer?.status !== 200) return
            acknowledged.add(key)
          }
        }
        const writers = ['a', 'b', 'c'].map(writer)
        const goal = acknowledged.size + 20 + ((round * 37) % 60)
        await waitFor(() => acknowledged.size >= goal, { deadlineMs: 60_000, intervalMs: 1 })
        await node.dispose()
        await Promise.all(writers)
      }
      const [, url] = await start(database)
      const list = JSON.parse((await send('GET', `${url}/items/*`)).body) as { path: string }[]
      expect(list.length).toBeGreaterThanOrEqual(acknowledged.size)
    },
    120_000 + rounds * 60_000,
  )

  it('waits for its database at the start, says so, and never shows the password', async () => {
    const link = await ServiceLink.to(await postgres().createDatabase())
    closers.push(() => link.close())
    link.refuse()
    const url = new URL(link.url)
    url.password = 's3cret'
    const node = new CliProcess(['serve', '--port', '0'], { env: { OOO_POSTGRES_URL: url.href } })
    closers.push(() => node.dispose())
    await waitFor(() => node.stderr.includes('the database is not there yet, trying again'), {
      deadlineMs: 60_000,
    })
    link.heal()
    await node.output(/ serving (\S+) /)
    expect(node.stderr + node.stdout).not.toContain('s3cret')
  })

  it('ends with a message when another node took its rows, so that a supervisor starts it again', async () => {
    const database = await postgres().createDatabase()
    const link = await ServiceLink.to(database)
    closers.push(() => link.close())
    const [first] = await start(link.url)
    link.refuse()
    const [second, url] = await start(database)
    link.heal()
    const end = await first.ended
    expect(end.code).toBe(1)
    expect(end.stderr).toMatch(
      new RegExp(`ooo: storage: the rows of "kitchen" on \\S+ .*process ${second.pid} on \\S+`),
    )
    expect((await send('POST', `${url}/items/a`, '1')).status).toBe(200)
  })

  it('keeps two nodes of one name apart, and lets two names share a database', async () => {
    const database = await postgres().createDatabase()
    await start(database)
    const second = await runCli(['serve', '--port', '0', '--name', 'kitchen'], {
      env: { OOO_POSTGRES_URL: database },
    })
    expect(second.code).toBe(1)
    expect(second.stderr).toMatch(
      /the rows of "kitchen" on \S+ are used by another node, process \d+ on \S+; stop that, or choose other rows with --postgres-namespace/,
    )
    await start(database, ['--postgres-namespace', 'hall'])
  })
})
