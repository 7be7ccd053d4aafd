/** The routes of protocol 2.0: statuses, bodies and what is refused. */
import { expect, test } from 'vitest'
import { STREAM_PROTOCOL } from '../../../src/core/wire/protocol.ts'
import { freePort } from '../../support/free-port.ts'
import { waitFor } from '../../support/wait.ts'
import { KEYS, type OwnNode, type OwnOptions, startOwn, startPeer } from './own-node.ts'

/** A leader with one 2.0 node, which is at the address of these tests: what they ask is asked by a listed node. */
async function startListing(options: OwnOptions = {}): Promise<OwnNode> {
  const port = await freePort()
  const { keys = KEYS } = options
  const peer = await startPeer({ keys, leader: `127.0.0.1:${port}` })
  const own = await startOwn({ ...options, port, lists: [peer] })
  const base = keys[0]?.replace('/*', '')
  await waitFor(async () => (await own.request('GET', `/_pivot/activity/${base}`)).status === 200)
  return own
}

const metaOf = (index: string, stamp: bigint, data: string): string =>
  `{"created":${stamp},"updated":0,"index":"${index}","data":${data}}\n`

test('the version says 2.0, and what else this node speaks', async () => {
  const own = await startOwn()
  const { status, body, headers } = await own.request('GET', '/_pivot/version')
  expect(status).toBe(200)
  expect(headers['content-type']).toBe('application/json')
  expect(body.endsWith('}\n')).toBe(true)
  expect(JSON.parse(body)).toMatchObject({ protocol: '2.0', stream: STREAM_PROTOCOL })
})

test('a list is given whole, oldest first; an absent plain key is a 500 that says so', async () => {
  const own = await startListing()
  const empty = await own.request('GET', '/_pivot/pivot/things/*')
  expect(empty).toMatchObject({ status: 200, body: '[]\n' })
  await own.set('things/b', '1.50')
  await own.set('things/a', '2')
  const list = await own.request('GET', '/_pivot/pivot/things/anything')
  expect(list.body).toMatch(
    /^\[\{"created":\d{19},"updated":0,"index":"b","path":"things\/b","data":1\.50\},\{.*"data":2\}\]\n$/,
  )
  const absent = await own.request('GET', '/_pivot/pivot/settings')
  expect(absent).toMatchObject({ status: 500, body: 'storage: not found' })
  await own.set('settings', '{"a":1}')
  const present = await own.request('GET', '/_pivot/pivot/settings')
  expect(present.status).toBe(200)
  expect(present.body).toMatch(/^\{"created":\d{19},"updated":0,"index":"settings",.*\}\n$/)
})

test('activity is the stamp of the latest write or delete, told from the first question on', async () => {
  const own = await startListing()
  // While the listed node is being looked for, its address is told nothing.
  const activity = (base: string): Promise<string> =>
    waitFor(async () => (await own.request('GET', `/_pivot/activity/${base}`)).body)
  expect(await activity('things')).toBe('{"lastEntry":0}\n')
  const { version: a } = await own.server.store.set('things/a', '1')
  expect(await activity('things')).toBe(`{"lastEntry":${a}}\n`)
  const { version: b } = await own.server.store.set('things/a', '2')
  expect(await activity('things')).toBe(`{"lastEntry":${b}}\n`)
  const { version: c } = await own.server.store.delete('things/a')
  expect(await activity('things')).toBe(`{"lastEntry":${c}}\n`)
  const { version: d } = await own.server.store.set('settings', '1')
  expect(await activity('settings')).toBe(`{"lastEntry":${d}}\n`)
})

test('a push is stored with its stamps and digits under the index of its body', async () => {
  const own = await startListing()
  const stamp = 1_700_000_000_123_456_789n
  const body = metaOf('x-1.b', stamp, '{"n":12345678901234567890}')
  const list = await own.request('POST', '/_pivot/pivot/things/other', { body })
  expect(list).toMatchObject({ status: 200, body: '' })
  const entry = await own.server.store.get('things/x-1.b')
  expect(entry).toMatchObject({ created: stamp, updated: 0n, data: '{"n":12345678901234567890}' })
  const plain = await own.request('POST', '/_pivot/pivot/settings', {
    body: metaOf('settings', stamp, '1'),
  })
  expect(plain.status).toBe(200)
  expect(await own.value('settings')).toBe('1')
  const removed = await own.request('DELETE', `/_pivot/pivot/settings/${stamp + 1n}`)
  expect(removed).toMatchObject({ status: 200, body: '' })
  const again = await own.request('DELETE', `/_pivot/pivot/settings/${stamp + 1n}`)
  expect(again).toMatchObject({ status: 500, body: '' })
})

test('a nested plain key that was pushed to its last segment is stored where its body says', async () => {
  const own = await startListing({ keys: ['deep/down/value', 'things/*'] })
  const push = async (path: string): Promise<number> => {
    const body = `{"created":${10n ** 18n},"updated":0,"index":"value","path":"${path}","data":1}`
    return (await own.request('POST', '/_pivot/pivot/value', { body })).status
  }
  expect(await push('deep/down/value')).toBe(200)
  expect(await own.value('deep/down/value')).toBe('1')
  expect(await push('other/value')).toBe(500)
  expect(await own.value('other/value')).toBeUndefined()
})

test('a glob delete takes what is older than its stamp', async () => {
  const own = await startListing()
  await own.set('things/a', '1')
  const { version } = await own.server.store.set('things/b', '1')
  await own.set('things/c', '1')
  const { status } = await own.request('DELETE', `/_pivot/pivot/things/*/${version + 1n}`)
  expect(status).toBe(200)
  expect(await own.things()).toEqual({ 'things/c': '1' })
})

test.each([
  ['no JSON', 'nonsense'],
  ['no object', '[]'],
  ['no data', '{"created":1,"updated":0,"index":"a"}'],
  ['an index of two segments', metaOf('a/b', 1n, '1')],
  ['an index that is a glob', metaOf('*', 1n, '1')],
  ['no index', metaOf('', 1n, '1')],
  ['a stamp that is no integer', '{"created":1.5,"updated":0,"index":"a","data":1}'],
  ['a stamp in text', '{"created":"1","updated":0,"index":"a","data":1}'],
  ['a negative stamp', '{"created":-1,"updated":0,"index":"a","data":1}'],
  ['a stamp far in the future', metaOf('a', 7_000_000_000_000_000_000n, '1')],
  ['a stamp beyond all time', metaOf('a', 9_999_999_999_999_999_999n, '1')],
])('a push with %s is a 500 without a body, and stores nothing', async (_what, body) => {
  const own = await startListing()
  const answer = await own.request('POST', '/_pivot/pivot/things/a', { body })
  expect(answer).toMatchObject({ status: 500, body: '' })
  expect(await own.things()).toEqual({})
})

test.each(['x', '-1', '1.5', '99999999999999999999', '7000000000000000000'])(
  'a delete with the time "%s" is refused',
  async (time) => {
    const own = await startListing()
    await own.set('things/a', '1')
    const { status } = await own.request('DELETE', `/_pivot/pivot/things/a/${time}`)
    expect(status).toBe(500)
    expect(await own.things()).toEqual({ 'things/a': '1' })
  },
)

test('what is not synced is not served', async () => {
  const own = await startListing()
  for (const path of ['pivot/other/*', 'pivot/other', 'activity/other', 'pivot/things']) {
    expect((await own.request('GET', `/_pivot/${path}`)).status, path).toBe(404)
  }
  const body = metaOf('a', 1n, '1')
  expect((await own.request('POST', '/_pivot/pivot/other/a', { body })).status).toBe(404)
})

test('a leader has nothing to pull; a follower answers 200, whatever the key', async () => {
  const leader = await startOwn()
  const none = await leader.request('GET', '/_pivot/synchronize/pivot?key=things/*')
  expect(none).toMatchObject({ status: 400, body: 'no syncers configured' })
  const own = await startOwn({ follows: leader.address })
  for (const path of ['pivot?key=things/*', 'pivot?key=unknown', 'pivot', 'node']) {
    const answer = await own.request('GET', `/_pivot/synchronize/${path}`)
    expect(answer, path).toMatchObject({ status: 200, body: '' })
  }
  expect((await own.request('GET', '/_pivot/health/nodes')).body).toBe('[]')
})

test('with a cluster token every route demands it', async () => {
  const own = await startOwn({ token: 'secret' })
  const paths = [
    ['GET', 'version'],
    ['GET', 'health/nodes'],
    ['GET', 'synchronize/pivot'],
    ['GET', 'synchronize/node'],
    ['GET', 'activity/things'],
    ['GET', 'pivot/things/*'],
    ['POST', 'pivot/things/a'],
    ['DELETE', 'pivot/things/a/1'],
  ]
  for (const [method = '', path] of paths) {
    expect((await own.request(method, `/_pivot/${path}`)).status, path).toBe(401)
    const wrong = await own.request(method, `/_pivot/${path}`, {
      headers: { 'x-ooo-cluster-token': 'x' },
    })
    expect(wrong.status, path).toBe(401)
  }
})

test('who is not listed reads nothing and writes nothing, and a listed one what its listing says', async () => {
  const own = await startOwn()
  const stamp = 1_700_000_000_123_456_789n
  const body = metaOf('a', stamp, '1')
  await own.set('things/old', '1')
  const requests: [method: string, path: string][] = [
    ['GET', 'activity/things'],
    ['GET', 'pivot/things/*'],
    ['POST', 'pivot/things/a'],
    ['DELETE', `pivot/things/old/${stamp + 10n ** 18n}`],
    ['POST', 'pivot/settings'],
  ]
  const statuses = async (): Promise<number[]> => {
    const answers = requests.map(([method, path]) =>
      own.request(method, `/_pivot/${path}`, method === 'POST' ? { body } : {}),
    )
    return (await Promise.all(answers)).map((answer) => answer.status)
  }
  expect(await statuses()).toEqual([403, 403, 403, 403, 403])
  own.plugin.listPivot2(['127.0.0.1:1=things/*,ro'])
  const [, list, set, remove, other] = await statuses()
  expect([list, set, remove, other]).toEqual([200, 403, 403, 403])
  expect(await own.things()).toEqual({ 'things/old': '1' })
  own.plugin.listPivot2(['127.0.0.1:1=things/*'])
  expect((await own.request('POST', '/_pivot/pivot/things/a', { body })).status).toBe(200)
  own.plugin.listPivot2(['10.255.255.1:1'])
  expect((await own.request('GET', '/_pivot/pivot/things/*')).status).toBe(403)
})

test.each([
  'no port',
  '10.0.0.7',
  '10.0.0.7:0',
  '10.0.0.7:65536',
  '10.0.0.7:80/latest',
  'user@10.0.0.7:80',
  '169.254.1:80',
  '10.0.0.7:80=',
  '10.0.0.7:80=/items',
  'fd00::7:80',
])('a listing that names no node is refused: %s', async (text) => {
  const own = await startOwn()
  expect(() => own.plugin.listPivot2([text])).toThrow(`pivot2 "${text}" is not`)
})
