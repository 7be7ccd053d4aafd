/** Lines of a backup that somebody changed, spaced anew, or wrote. */
import { describe, expect, it } from 'vitest'
import { encodeRecordLine, sealRecordLine } from '../../backup/format/record-line.ts'
import { readBackup } from '../../backup/read-backup.ts'
import { mergeBackup, restoreStorage } from '../../backup/restore-records.ts'
import { backupRoutes, CONTENT_TYPES } from '../../backup/routes.ts'
import type { Entry, StoredRecord } from '../../src/core/data/entry.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { serve, type TestServer } from '../server/serve.ts'
import { ManualTime, openStore } from '../support/store.ts'
import { backupBytes, chunked, HEADER } from './fixtures.ts'

const ENTRY: Entry = {
  ...{ kind: 'entry', key: 'items/1', created: 1000n, updated: 2000n, origin: 'peer' },
  data: '{"a":1}',
}
const GONE: StoredRecord = { kind: 'tombstone', key: 'items/2', deleted: 3000n, origin: 'peer' }
const OTHER: Entry = { ...ENTRY, key: 'items/3', data: '"other"' }
const EDITED = /^zz-edited-[0-9a-f]{16}$/

/** A jsonl backup of three records, whose text `edit` changes. */
async function edited(edit: (text: string) => string): Promise<Buffer> {
  const bytes = await backupBytes([ENTRY, GONE, OTHER], { format: 'jsonl' })
  return Buffer.from(edit(bytes.toString()))
}

/** As the release before wrote it: no line has a checksum. */
const asBefore = (text: string): string =>
  text.replace('"format":3', '"format":2').replaceAll(/,"crc":"[0-9a-f]{8}"(?=\}\n)/g, '')

async function restored(
  bytes: Buffer,
  salvage: boolean,
): Promise<{ store: ReplicationStore; damage: number }> {
  const adapter = new MemoryStorage()
  let ids = 0
  const options = { time: new ManualTime(), newId: () => `new-${ids++}`, cacheBytes: 0, salvage }
  const { damage } = await restoreStorage(adapter, HEADER, readBackup(chunked(bytes)), options)
  return { store: await openStore({ adapter }), damage }
}

async function originOf(store: ReplicationStore, key: string): Promise<string | undefined> {
  return (await store.keyState(key))?.record.origin
}

/** Merges the records of both into each other, as two nodes that meet. */
async function meet(a: ReplicationStore, b: ReplicationStore): Promise<void> {
  const all = async (store: ReplicationStore): Promise<StoredRecord[]> => {
    const found: StoredRecord[] = []
    for await (const record of (await store.scan()).records) found.push(record)
    return found
  }
  const [ofA, ofB] = [await all(a), await all(b)]
  await a.merge(ofB, { source: 'b' })
  await b.merge(ofA, { source: 'a' })
}

describe('a restore of lines', () => {
  it('refuses a line that was changed under its checksum, by number and with the reason', async () => {
    const bytes = await edited((text) => text.replace('{"a":1}', '{"a":2}'))
    await expect(restored(bytes, false)).rejects.toThrow(
      /line 2 at byte \d+ is no record: it was changed/,
    )
    const { store, damage } = await restored(bytes, true)
    expect(await store.keys()).toEqual(['items/3'])
    // The line, and what its absence does to the digest is no news.
    expect(damage).toBe(1)
    await store.close()
  })

  it.each(['"key":"items/1"', '"updated":2000', '"origin":"peer"'])(
    'notices a change of %s',
    async (part) => {
      const bytes = await edited((text) => text.replace(part, part.replace(/\d|peer/, '7')))
      await expect(restored(bytes, false)).rejects.toThrow(/line 2 .*changed/)
    },
  )

  it('takes a line that was only spaced and ordered anew', async () => {
    const bytes = await edited((text) => {
      const [header = '', first = '', ...rest] = text.split('\n')
      const members = Object.entries(JSON.parse(first) as Record<string, unknown>).reverse()
      return [
        header,
        JSON.stringify(Object.fromEntries(members), null, 1).replaceAll('\n', ' '),
        ...rest,
      ].join('\n')
    })
    const { store, damage } = await restored(bytes, true)
    expect(damage).toBe(0)
    expect(await originOf(store, 'items/1')).toBe('peer')
    await store.close()
  })

  it('takes a line without its checksum as a change of its own, which wins over what it was made from', async () => {
    const bytes = await edited((text) => text.replace(/\{"a":1\},"crc":"[0-9a-f]{8}"/, '{"a":2}'))
    await expect(restored(bytes, false)).rejects.toThrow(/lines were added, lost or changed/)
    const { store: leader } = await restored(bytes, true)
    expect(await originOf(leader, 'items/1')).toMatch(EDITED)
    expect(await originOf(leader, 'items/3')).toBe('peer')

    const follower = await openStore()
    await follower.merge([ENTRY, GONE, OTHER], { source: 'before' })
    await meet(leader, follower)
    expect((await leader.get('items/1'))?.data).toBe('{"a":2}')
    expect((await follower.get('items/1'))?.data).toBe('{"a":2}')
    for (const store of [leader, follower]) await store.close()
  })

  it('of an earlier release are as they were when the end vouches for them, else changes of their own', async () => {
    const { store: whole } = await restored(await edited(asBefore), false)
    expect(await originOf(whole, 'items/1')).toBe('peer')
    const { store: salvaged } = await restored(
      await edited((text) => asBefore(text).replace('{"a":1}', '{"a":2}')),
      true,
    )
    for (const key of ['items/1', 'items/2', 'items/3']) {
      expect(await originOf(salvaged, key)).toMatch(EDITED)
    }
    await meet(whole, salvaged)
    expect((await whole.get('items/1'))?.data).toBe('{"a":2}')
    expect((await salvaged.get('items/1'))?.data).toBe('{"a":2}')
    for (const store of [whole, salvaged]) await store.close()
  })

  it('changes nothing where the store holds just what the lines say', async () => {
    const store = await openStore()
    await store.merge([ENTRY, GONE, OTHER], { source: 'before' })
    const events = readBackup(chunked(await edited(asBefore)), { partial: true })
    expect(await mergeBackup(store, events)).toMatchObject({ applied: 0, equal: 3 })
    expect(await originOf(store, 'items/1')).toBe('peer')
    await store.close()
  })

  it('gives records of an earlier release whose origin no node takes the one that stands in for it', async () => {
    const records = [{ ...ENTRY, origin: 'my.app' }]
    for (const format of ['binary', 'jsonl'] as const) {
      const { store } = await restored(await backupBytes(records, { format }), false)
      expect(await originOf(store, 'items/1')).toMatch(/^x-[0-9a-f]{16}$/)
      await store.close()
    }
  })

  it.each(['\ufeff', '\n', '\r\n \n', '\ufeff\n\n'])(
    'understands what stands before the first line (%j)',
    async (start) => {
      const { store, damage } = await restored(await edited((text) => start + text), false)
      expect(damage).toBe(0)
      expect(await store.keys()).toEqual(['items/1', 'items/3'])
      await store.close()
    },
  )
})

describe('POST /-/restore', () => {
  const post = ({ url }: TestServer, body: string): Promise<Response> =>
    fetch(`${url}/-/restore`, {
      ...{ method: 'POST', body },
      headers: { 'content-type': CONTENT_TYPES.jsonl },
    })
  const withBackups = (): Promise<TestServer> => serve({ plugins: [backupRoutes()] })
  const line = (record: StoredRecord): string => sealRecordLine(encodeRecordLine(record))

  it.each<[string, string, RegExp]>([
    [
      'an origin with a dot',
      encodeRecordLine({ ...ENTRY, origin: 'my.app' }),
      /line 2 .*origin "my\.app"/,
    ],
    [
      'an origin with a line feed',
      encodeRecordLine({ ...ENTRY, origin: 'a\nb' }),
      /line 2 .*origin "a\\\\?nb"/,
    ],
    [
      'a stamp beyond the year 2200',
      encodeRecordLine({ ...ENTRY, updated: 9n * 10n ** 18n }),
      /line 2 .*"updated"/,
    ],
    ['no JSON', 'hello', /line 2 .*invalid JSON/],
    ['a changed line', line(ENTRY).replace('{"a":1}', '{"a":2}'), /line 2 .*changed/],
  ])(
    'answers 400 to %s, with the number of the line and the reason',
    async (_name, wrong, reason) => {
      const node = await withBackups()
      const answer = await post(node, `${line(OTHER)}\n${wrong}\n`)
      expect([answer.status, await answer.text()]).toEqual([400, expect.stringMatching(reason)])
      expect((await post(node, wrong.replace(/^\{/, '['))).status).toBe(400)
    },
  )

  it('understands a mark of the byte order and blank lines', async () => {
    const node = await withBackups()
    const answer = await post(node, `\ufeff\n\r\n${line(ENTRY)}\n\n${line(OTHER)}\n`)
    expect(await answer.json()).toMatchObject({ applied: 2 })
    expect((await post(node, '\ufeff\n')).status).toBe(200)
  })

  it('leaves out a greater value than the node takes, and says so', async () => {
    const node = await serve({ plugins: [backupRoutes()], maxValueBytes: 1024 })
    const great = { ...ENTRY, data: JSON.stringify('x'.repeat(1023)) }
    const answer = await post(node, `${line(great)}\n${line({ ...OTHER, data: '1' })}\n`)
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { applied: 1, equal: 0, superseded: 0, refused: 1, restamped: 0 },
    ])
    expect((await node.get('/?api=storage')).body).toMatch(
      /items\/1.*1025 bytes, the limit is 1024/,
    )
    expect((await node.get('/-/readyz')).body).toContain('1 record of others not taken')
  })

  it('leaves out a value that is nested deeper than the node takes, and says so', async () => {
    const node = await serve({ plugins: [backupRoutes()], maxJsonDepth: 3 })
    const deep = { ...ENTRY, data: '[[[[]]]]' }
    const answer = await post(node, `${line(deep)}\n${line({ ...OTHER, data: '1' })}\n`)
    expect(await answer.json()).toMatchObject({ applied: 1, refused: 1 })
    expect((await node.get('/?api=storage')).body).toMatch(/items\/1.*nested deeper than 3/)
  })

  it('takes lines that were written by hand under an origin of their own', async () => {
    const node = await withBackups()
    expect(await (await post(node, `${encodeRecordLine(ENTRY)}\n`)).json()).toMatchObject({
      applied: 1,
    })
    expect(await originOf(node.server.store, 'items/1')).toMatch(EDITED)
    expect((await node.get('/items/1')).body).toContain('"updated":2000')
  })
})
