/**
 * Who may use which route of a full node: every row of its table of routes is asked in every way that `who`
 * speaks of (see `doors/who.ts`), and is refused exactly where the row says so.
 */
import { describe, expect, it } from 'vitest'
import { backupRoutes } from '../../backup/routes.ts'
import { type ClusterOptions, cluster } from '../../cluster/index.ts'
import { requireMember, showsToken } from '../../cluster/members/token.ts'
import type { RouteInfo, Who } from '../../src/server/contract/route.ts'
import { exchange, handshake, serve, type TestServer } from '../server/serve.ts'

const TOKEN = 'secret'
const ORIGIN = { origin: 'https://evil.example' }
const HOST = { host: 'rebound.example' }
const SHOWN = { authorization: `Bearer ${TOKEN}` }
/** What a proxy on this machine says of a request from another one. */
const ELSEWHERE = { 'x-forwarded-for': '10.0.0.9' }
const OWN_PAGE = { 'sec-fetch-site': 'same-origin' }

/** Behind the doors that ask for the cluster token, where there is one. */
const TOKEN_DOORS: readonly Who[] = ['token', 'node', 'peer', 'listed']
/** Closed to other machines where there is no token. */
const NODE_DOORS: readonly Who[] = ['node', 'peer', 'listed']
/** Closed to every page. */
const NO_PAGES: readonly Who[] = ['peer', 'listed']

interface Row extends RouteInfo {
  readonly webSocket: boolean
}

/** One way to ask for a row. */
interface Question {
  readonly row: Row
  /** A method, or `WebSocket`. */
  readonly how: string
  readonly path: string
}

/** What stands for the variables of a path. */
const SAMPLES: Readonly<Record<string, string>> = {
  id: '1',
  file: 'none.js',
  side: 'node',
  path: 'items',
  asset: 'favicon.ico',
  key: 'items/a',
  name: 'one',
  path1: 'a',
}

/** Paths that the samples do not make. */
const OTHER_SAMPLES: Readonly<Record<string, string>> = {
  'GET /_pivot/pivot/{path:.*}': '/_pivot/pivot/items/a',
  'POST /_pivot/pivot/{path:.*}': '/_pivot/pivot/items/a',
  'DELETE /_pivot/pivot/{path:.*}': '/_pivot/pivot/items/a/1',
}

function sampleOf(template: string): string {
  return template.replace(/\{(\w+)[^}]*\}/g, (_all, name) => {
    const sample = SAMPLES[name]
    if (sample === undefined) throw new Error(`no sample for a variable of ${template}`)
    return sample
  })
}

async function questionsOf(node: TestServer): Promise<Question[]> {
  const rows = JSON.parse((await node.get('/?api=routes')).body) as Row[]
  return rows.flatMap((row) => {
    const methods = row.methods.flatMap((method) => (method === '*' ? ['GET', 'POST'] : [method]))
    const ways = [...methods, ...(row.webSocket ? ['WebSocket'] : [])]
    return ways.map((how) => ({
      row,
      how,
      path: OTHER_SAMPLES[`${how} ${row.path}`] ?? sampleOf(row.path),
    }))
  })
}

async function full(options: Partial<ClusterOptions>): Promise<TestServer> {
  const { token, openCluster = false } = options
  const node = await serve({
    host: '0.0.0.0',
    open: true,
    plugins: [
      backupRoutes({
        authorize: (request) => requireMember(request, { token, openCluster }),
        ...(token === undefined ? {} : { credential: (request) => showsToken(request, token) }),
      }),
      cluster({ keys: [{ path: 'items/*' }], ...options }),
    ],
  })
  node.server.endpoint({
    path: '/endpoints/{name}',
    methods: { GET: {}, POST: {} },
    handler: (_request, response) => void response.end('ok'),
    upgrade: (_request, socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  })
  const resolve = (path: string) => ({ address: '127.0.0.1:1', path })
  node.server.proxy.route({ localPath: 'proxied/*', resolve })
  return node
}

/** Whether it is kept out; what is let in may fail for what it lacks. */
async function isRefused(
  node: TestServer,
  { how, path }: Pick<Question, 'how' | 'path'>,
  headers: Record<string, string>,
): Promise<boolean> {
  if (how !== 'WebSocket') {
    const { status } = await node.request(how, path, undefined, { headers })
    return status === 401 || status === 403
  }
  // A handshake of another version is refused behind all doors, so that none stays open.
  const { host = '127.0.0.1', ...others } = headers
  const version = { Host: host, 'Sec-WebSocket-Version': '8', ...others }
  const { status } = await exchange(node.port, handshake(path, version))
  expect([400, 401, 403], `${how} ${path}`).toContain(status)
  return status !== 400
}

/** The rows that are refused with these headers, beside those that should be. */
async function expectRefused(
  node: TestServer,
  headers: Record<string, string>,
  should: (question: Question) => boolean,
): Promise<void> {
  const refused: string[] = []
  const expected: string[] = []
  for (const question of await questionsOf(node)) {
    const { row, how } = question
    const name = `${how} ${row.path} (${row.who})`
    if (await isRefused(node, question, headers)) refused.push(name)
    if (should(question)) expected.push(name)
  }
  expect(refused).toEqual(expected)
}

describe('every route of a node with a token', () => {
  const start = (): Promise<TestServer> => full({ token: TOKEN })
  // Nodes of protocol 2.0 have no token, so none can be listed here.
  const isListed = ({ row }: Question): boolean => row.who === 'listed'
  const isClosed = ({ row }: Question): boolean => NO_PAGES.includes(row.who)

  it('is in the table, and every kind of door is', async () => {
    const node = await start()
    const questions = await questionsOf(node)
    expect(questions.length).toBeGreaterThan(50)
    for (const who of ['anyone', 'client', 'token', 'node', 'peer', 'listed']) {
      expect(questions.filter(({ row }) => row.who === who).length, who).toBeGreaterThan(1)
    }
    expect(questions.filter(({ how }) => how === 'WebSocket').length).toBeGreaterThan(5)
  })

  it('asks a program for the token where its door says so, and lets it in with it', async () => {
    const node = await start()
    await expectRefused(node, {}, ({ row }) => TOKEN_DOORS.includes(row.who))
    await expectRefused(node, { authorization: 'Bearer other' }, ({ row }) =>
      TOKEN_DOORS.includes(row.who),
    )
    await expectRefused(node, SHOWN, isListed)
  })

  it('is refused to a page of a stranger; with the token only what is for peers is', async () => {
    const node = await start()
    await expectRefused(node, ORIGIN, () => true)
    await expectRefused(node, { ...ORIGIN, ...SHOWN }, isClosed)
    await expectRefused(node, { ...OWN_PAGE, ...SHOWN }, isClosed)
  })

  it('is refused under the name of a stranger, but for anyone and with the token', async () => {
    const node = await start()
    await expectRefused(node, HOST, ({ row }) => row.who !== 'anyone')
    await expectRefused(node, { ...HOST, ...SHOWN }, isListed)
  })

  it('is asked ahead by pages of strangers for the token only, and never for peers', async () => {
    const node = await start()
    for (const question of await questionsOf(node)) {
      const { how, path } = question
      if (how === 'WebSocket') continue
      const asked = { ...ORIGIN, 'access-control-request-method': how }
      const shown = { ...asked, 'access-control-request-headers': 'authorization' }
      const ahead = { how: 'OPTIONS', path }
      expect(await isRefused(node, ahead, asked), path).toBe(true)
      expect(await isRefused(node, ahead, shown), path).toBe(isClosed(question))
    }
  })

  it('has other methods behind the door of its first row', async () => {
    const node = await start()
    const questions = await questionsOf(node)
    for (const { path } of questions) {
      const there = questions.filter((other) => other.path === path && other.how !== 'WebSocket')
      if (there.length === 0 || there.some(({ row }) => row.methods.includes('*'))) continue
      for (const how of ['LOCK', 'OPTIONS']) {
        const door = there[0]?.row.who ?? 'peer'
        expect(await isRefused(node, { how, path }, {}), `${how} ${path}`).toBe(
          TOKEN_DOORS.includes(door),
        )
        expect(await isRefused(node, { how, path }, SHOWN), `${how} ${path}`).toBe(false)
      }
    }
  })
})

describe('every route of a node without a token', () => {
  it('is open to this machine but for what is for listed nodes, and to others where it is not for nodes', async () => {
    const node = await full({})
    await expectRefused(node, {}, ({ row }) => row.who === 'listed')
    await expectRefused(node, ELSEWHERE, ({ row }) => NODE_DOORS.includes(row.who))
  })

  it('is open to other machines in an open cluster', async () => {
    const node = await full({ openCluster: true, pivot2: ['127.0.0.1:1'] })
    await expectRefused(node, ELSEWHERE, () => false)
    await expectRefused(node, { ...ELSEWHERE, ...ORIGIN }, () => true)
  })
})
