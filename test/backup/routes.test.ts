import { once } from 'node:events'
import { request as httpRequest, type ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { type BackupReport, inspectBackup } from '../../backup/inspect-backup.ts'
import { readBackup } from '../../backup/read-backup.ts'
import { backupRoutes, CONTENT_TYPES } from '../../backup/routes.ts'
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { StateError } from '../../src/core/errors.ts'
import { afterTest, serve, type TestServer } from '../server/serve.ts'
import { HangingStorage } from '../support/hanging-storage.ts'
import { waitFor } from '../support/wait.ts'
import { backupBytes, makeRecords } from './fixtures.ts'

const withBackups = () => serve({ plugins: [backupRoutes({ scopes: ['items/*'] })] })

async function fetchBackup(
  { url }: TestServer,
  query = '',
): Promise<{ records: StoredRecord[]; report: BackupReport }> {
  const response = await fetch(`${url}/-/backup${query}`)
  expect(response.status).toBe(200)
  const records: StoredRecord[] = []
  async function* seen() {
    for await (const event of readBackup(response.body ?? fail())) {
      if (event.type === 'records') records.push(...event.records)
      yield event
    }
  }
  return { report: await inspectBackup(seen()), records }
}

function fail(): never {
  throw new Error('an answer without a body')
}

function restore(
  { url }: TestServer,
  body: string | Uint8Array<ArrayBuffer>,
  type: string = CONTENT_TYPES.binary,
): Promise<Response> {
  return fetch(`${url}/-/restore`, { method: 'POST', headers: { 'content-type': type }, body })
}

describe('GET /-/backup', () => {
  test.each(['', '?format=jsonl'])('streams everything the node holds (%s)', async (query) => {
    const node = await withBackups()
    await node.post('/settings', '{"big":12345678901234567890}')
    await node.post('/gone', '1')
    await node.request('DELETE', '/gone')
    const { records, report } = await fetchBackup(node, query)
    expect(report).toMatchObject({ damageCount: 0, entries: 1, tombstones: 1 })
    expect(report.header).toMatchObject({
      node: node.server.store.id,
      epoch: node.server.store.epoch,
      seq: node.server.store.head,
      scopes: ['items/*'],
    })
    expect(records).toMatchObject([
      { kind: 'tombstone', key: 'gone' },
      { kind: 'entry', key: 'settings', data: '{"big":12345678901234567890}' },
    ])
  })

  test('is one point of the order of commits while writes go on', async () => {
    const node = await withBackups()
    const { store } = node.server
    const round = async (n: number) => {
      // All keys of a batch change together, so a backup has them all of one round.
      const json = JSON.stringify({ n, text: 'x'.repeat(500) })
      const keys = Array.from(
        { length: 400 },
        (_, i) => `items/${String(i * 7919).padStart(8, '0')}`,
      )
      await store.batch(keys.map((key) => ({ op: 'set', key, json })))
    }
    await round(0)
    let rounds = 0
    let stop = false
    const writing = (async () => {
      while (!stop && rounds < 2000) {
        await round(++rounds)
        // Storage in memory answers within the turn: sockets need a turn of their own.
        await setImmediate()
      }
    })()
    for (let i = 0; i < 5; i++) {
      const before = rounds
      const { records, report } = await fetchBackup(node)
      expect(report.damageCount).toBe(0)
      const numbers = new Set(
        records.map(
          (record) => (JSON.parse('data' in record ? record.data : '{}') as { n: number }).n,
        ),
      )
      expect(records).toHaveLength(400)
      expect(numbers.size).toBe(1)
      await waitFor(() => rounds > before, { what: 'writes to go on' })
    }
    stop = true
    await writing
  })

  test('does not run ahead of a reader that is slow', async () => {
    const node = await withBackups()
    const { store } = node.server
    const json = JSON.stringify('y'.repeat(100_000))
    for (let i = 0; i < 300; i++) await store.set(`items/${i}`, json)
    let answer: ServerResponse | undefined
    node.server.use((request, response, next) => {
      if (request.url?.startsWith('/-/backup') === true) answer = response
      return next()
    })
    const outgoing = httpRequest(`${node.url}/-/backup?format=jsonl`)
    outgoing.end()
    const [response] = await once(outgoing, 'response')
    response.pause()
    let received = 0
    const socket = response.socket
    // Nobody reads: what is under way fits into the buffers of the connection, far below 30 MB.
    await waitFor(async () => {
      const before = socket.bytesRead
      await fetch(`${node.url}/-/healthz`)
      return socket.bytesRead === before && before > 0
    })
    expect(socket.bytesRead).toBeLessThan(15_000_000)
    expect(answer?.writableLength).toBeLessThan(2_000_000)
    response.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    response.resume()
    await once(response, 'end')
    expect(received).toBeGreaterThan(30_000_000)
  })

  test('ends when its client goes away, and lets others in', async () => {
    const node = await withBackups()
    for (let i = 0; i < 100; i++)
      await node.server.store.set(`items/${i}`, JSON.stringify('z'.repeat(1e5)))
    for (let i = 0; i < 8; i++) {
      const outgoing = httpRequest(`${node.url}/-/backup?format=jsonl`)
      outgoing.end()
      const [response] = await once(outgoing, 'response')
      response.destroy()
    }
    const answered = await waitFor(async () => (await fetch(`${node.url}/-/backup`)).status === 200)
    expect(answered).toBe(true)
  })

  test('refuses another format, method or path', async () => {
    const node = await withBackups()
    expect((await node.get('/-/backup?format=zip')).status).toBe(400)
    expect((await node.post('/-/backup', '{}')).status).toBe(405)
    expect((await node.get('/-/restore')).status).toBe(405)
    expect((await node.get('/-/backup/more')).status).toBe(404)
  })
})

describe('POST /-/restore', () => {
  test('merges a backup of either format and tells what became of it', async () => {
    const records = makeRecords(2500)
    const node = await withBackups()
    const first = await restore(node, await ownBytes(await backupBytes(records)))
    expect(await first.json()).toEqual({
      applied: 2500,
      equal: 0,
      superseded: 0,
      refused: 0,
      restamped: 0,
    })
    const lines = await backupBytes(records, { format: 'jsonl' })
    const again = await restore(node, await ownBytes(lines), CONTENT_TYPES.jsonl)
    expect(await again.json()).toEqual({
      applied: 0,
      equal: 2500,
      superseded: 0,
      refused: 0,
      restamped: 0,
    })
    expect((await fetchBackup(node)).records).toEqual(records)
  })

  test('counts what is written, also on a node that answers its writes before', async () => {
    const storage = new HangingStorage()
    const node = await serve({ storage, durability: 'memory', plugins: [backupRoutes()] })
    storage.hang()
    afterTest(() => storage.goOn())
    let isAnswered = false
    const answer = restore(node, await ownBytes(await backupBytes(makeRecords(10)))).then(
      (given) => {
        isAnswered = true
        return given
      },
    )
    await waitFor(() => node.server.store.backlog.writes === 1)
    // Another request, from its beginning to its end.
    expect((await node.get('/-/readyz')).status).toBe(200)
    expect(isAnswered).toBe(false)
    storage.goOn()
    expect(await (await answer).json()).toMatchObject({ applied: 10 })
  })

  test('takes lines without header and end, and tells subscribers', async () => {
    const node = await withBackups()
    const subscriber = await node.subscribe('/items/*')
    const line = '{"key":"items/1","created":5,"updated":0,"origin":"me","data":{"a":1}}'
    const answer = await restore(node, `${line}\n`, CONTENT_TYPES.jsonl)
    expect(await answer.json()).toEqual({
      applied: 1,
      equal: 0,
      superseded: 0,
      refused: 0,
      restamped: 0,
    })
    await subscriber.frame(1)
    expect(subscriber.state).toContain('"path":"items/1"')
  })

  test('refuses what a web page could send unasked', async () => {
    const node = await withBackups()
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      expect((await restore(node, '', type)).status).toBe(400)
    }
  })

  test('refuses damage with its position', async () => {
    const node = await withBackups()
    const bytes = await backupBytes(makeRecords(100))
    bytes[500] = (bytes[500] ?? 0) ^ 1
    const answer = await restore(node, await ownBytes(bytes))
    expect(answer.status).toBe(400)
    expect(await answer.text()).toMatch(/block 1 at byte \d+ does not match its checksum/)
    const cut = await restore(
      node,
      await ownBytes((await backupBytes(makeRecords(5))).subarray(0, 300)),
    )
    expect(await cut.text()).toMatch(/cut off at byte 300/)
    const line = await restore(node, '{"key":"a/*"}\n', CONTENT_TYPES.jsonl)
    expect(await line.text()).toMatch(/line 1 at byte 0/)
  })

  test('gives what is stamped far in the future a stamp of now, and takes all else as it is', async () => {
    const node = await withBackups()
    const { store } = node.server
    const fromMs = Date.now()
    const [late, sane] = [fromMs + 3_600_000, fromMs - 1000].map((ms) => BigInt(ms) * 1_000_000n)
    const lines = [
      `{"key":"a","created":${sane},"updated":${late},"origin":"me","data":1}`,
      `{"key":"b","deleted":${late},"origin":"me"}`,
      `{"key":"c","created":${sane},"updated":0,"origin":"me","data":1}`,
    ]
    const answer = await restore(node, lines.join('\n'), CONTENT_TYPES.jsonl)
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { applied: 3, equal: 0, superseded: 0, refused: 0, restamped: 2 },
    ])
    const a = (await store.keyState('a'))?.record
    expect(a).toMatchObject({ kind: 'entry', created: sane })
    expect(a?.kind === 'entry' && a.updated / 1_000_000n).toBeGreaterThanOrEqual(fromMs)
    expect(a?.kind === 'entry' && a.updated / 1_000_000n).toBeLessThanOrEqual(Date.now() + 1)
    expect((await store.keyState('b'))?.record.kind).toBe('tombstone')
    const { version } = await store.set('next', '1')
    expect(version / 1_000_000n).toBeLessThanOrEqual(Date.now() + 1)
    const again = await restore(node, lines.join('\n'), CONTENT_TYPES.jsonl)
    expect(await again.json()).toMatchObject({ applied: 0, equal: 3 })
  })
})

test('both are guarded by the middleware of the server and by `authorize`', async () => {
  const authorize = ({ headers }: { headers: Record<string, unknown> }): void => {
    if (headers.secret !== 'open') throw new StateError('unauthorized', 'no')
  }
  const node = await serve({ plugins: [backupRoutes({ authorize })] })
  for (const path of ['/-/backup', '/-/restore']) expect((await node.get(path)).status).toBe(401)
  expect((await node.get('/-/backup', { secret: 'open' })).status).toBe(200)
  node.server.use((request) => {
    if (request.url?.startsWith('/-/') === true) throw new StateError('forbidden', 'not here')
  })
  expect((await node.get('/-/backup', { secret: 'open' })).status).toBe(403)
})

/** `fetch` wants bytes whose buffer is their own. */
async function ownBytes(bytes: Buffer): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(bytes)
}
