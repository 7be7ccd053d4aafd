import { expect, test } from 'vitest'
import { decodeHeader, encodeHeader } from '../../../backup/format/header.ts'
import { decodeRecordLine, encodeRecordLine } from '../../../backup/format/record-line.ts'
import { readBackup } from '../../../backup/read-backup.ts'
import { writeBackup } from '../../../backup/write-backup.ts'
import type { StoredRecord } from '../../../src/core/data/entry.ts'
import { backupBytes, chunked, HEADER, makeRecords, readAll } from '../../backup/fixtures.ts'

const formats = ['binary', 'jsonl'] as const

test.each(formats)('a %s backup gives back every record, stamp and digit', async (format) => {
  const records = makeRecords(3000)
  const bytes = await backupBytes(records, { format, blockBytes: 4096 })
  for (const chunkSize of [1000, 1 << 20]) {
    const { records: read, report } = await readAll(bytes, chunkSize)
    expect(read).toEqual(records)
    expect(report).toMatchObject({
      header: HEADER,
      format,
      records: 3000,
      damage: [],
      damageCount: 0,
    })
    expect(report.totals).toMatchObject({
      records: 3000,
      entries: report.entries,
      tombstones: report.tombstones,
      newest: report.newest,
    })
  }
})

test.each(formats)('an empty store has a whole %s backup', async (format) => {
  const { report } = await readAll(await backupBytes([], { format }), 1)
  expect(report).toMatchObject({ records: 0, damageCount: 0, totals: { records: 0, newest: 0n } })
})

test('both formats of the same records have the same digest', async () => {
  const records = makeRecords(100)
  const digests = await Promise.all(
    formats.map(async (format) => {
      const { report } = await readAll(await backupBytes(records, { format, blockBytes: 512 }))
      return report.totals?.digest
    }),
  )
  expect(digests[0]).toBe(digests[1])
})

test('a record greater than a block is in a block of its own', async () => {
  const data = JSON.stringify('y'.repeat(100_000))
  const records: StoredRecord[] = ['a', 'b', 'c'].map((key) => ({
    kind: 'entry',
    key,
    created: 1n,
    updated: 0n,
    origin: 'o',
    data: key === 'b' ? data : '1',
  }))
  const { records: read, report } = await readAll(await backupBytes(records, { blockBytes: 64 }))
  expect(read).toEqual(records)
  expect(report.damageCount).toBe(0)
})

test('a reader that stops pulling stops the reading of records', async () => {
  let taken = 0
  async function* source() {
    for (const record of makeRecords(10_000)) {
      taken += 1
      yield record
    }
  }
  const bytes = writeBackup(HEADER, source(), { blockBytes: 1024 })
  for (let i = 0; i < 10; i++) await bytes.next()
  expect(taken).toBeLessThan(200)
  await bytes.return()
})

test('writing and reading hold blocks, not everything', async () => {
  // 200 MB of lines pass through; whoever kept them would show.
  const text = 'z'.repeat(2000)
  async function* source(): AsyncGenerator<StoredRecord> {
    for (let i = 0; i < 100_000; i++) {
      const key = `k/${String(i).padStart(8, '0')}`
      yield {
        kind: 'entry',
        key,
        created: BigInt(i),
        updated: 0n,
        origin: 'o',
        data: `"${i}${text}"`,
      }
    }
  }
  let most = 0
  let count = 0
  for await (const event of readBackup(writeBackup(HEADER, source()))) {
    if (event.type === 'records') count += event.records.length
    most = Math.max(most, process.memoryUsage().arrayBuffers)
  }
  expect(count).toBe(100_000)
  expect(most).toBeLessThan(100 * 1024 * 1024)
})

test('an error of the source is thrown, and what was written has no end', async () => {
  function* source() {
    yield* makeRecords(50)
    throw new Error('disk gone')
  }
  const chunks: Uint8Array[] = []
  const write = async () => {
    for await (const chunk of writeBackup(HEADER, source(), { blockBytes: 512 })) chunks.push(chunk)
  }
  await expect(write()).rejects.toThrow('disk gone')
  const { report } = await readAll(Buffer.concat(chunks))
  expect(report.damage.map(({ kind }) => kind)).toEqual(['truncated'])
  expect(report.totals).toBeUndefined()
})

test('a newer format is refused by name', async () => {
  const newer = encodeHeader(HEADER, 'binary').replace('"format":2', '"format":9')
  expect(() => decodeHeader(newer)).toThrow(/format 9, this release reads formats 1 to 3/)
  const bytes = Buffer.from(`${newer}\n`)
  await expect(async () => {
    for await (const _ of readBackup(chunked(bytes)));
  }).rejects.toMatchObject({ code: 'format_unsupported' })
})

test('a line that people or tools wrote anew is read as it is meant', () => {
  const line =
    '{ "origin": "me", "data" : { "big": 1e400, "n": 12345678901234567890 }, "updated": 0, "created": 1700000000000000001, "key": "a/b" }\r'
  expect(decodeRecordLine(line)).toEqual({
    kind: 'entry',
    key: 'a/b',
    created: 1_700_000_000_000_000_001n,
    updated: 0n,
    origin: 'me',
    data: '{"big":1e400,"n":12345678901234567890}',
  })
  for (const record of makeRecords(20))
    expect(decodeRecordLine(encodeRecordLine(record))).toEqual(record)
})

test.each([
  ['not JSON', 'hello', /invalid JSON/],
  ['no object', '[1]', /is an object/],
  ['a glob as key', '{"key":"a/*","created":1,"updated":0,"origin":"o","data":1}', /"key" is/],
  ['a bad key', '{"key":"/a","created":1,"updated":0,"origin":"o","data":1}', /"key" is/],
  ['no data', '{"key":"a","created":1,"updated":0,"origin":"o"}', /"data" is missing/],
  ['broken data', '{"key":"a","created":1,"updated":0,"origin":"o","data":{}', /invalid JSON/],
  ['a fraction', '{"key":"a","created":1.5,"updated":0,"origin":"o","data":1}', /"created" is 1.5/],
  [
    'a stamp beyond 64 bits',
    '{"key":"a","deleted":9223372036854775808,"origin":"o"}',
    /"deleted" is/,
  ],
  ['an empty origin', '{"key":"a","deleted":1,"origin":""}', /origin "/],
  ['a space in the origin', '{"key":"a","deleted":1,"origin":"a b"}', /origin "/],
  ['a misspelt field', '{"key":"a","created":1,"updatd":0,"origin":"o","data":1}', /no "updatd"/],
  ['data beside deleted', '{"key":"a","deleted":1,"origin":"o","data":1}', /no "data"/],
])('a line with %s is refused', (_what, line, message) => {
  expect(() => decodeRecordLine(line)).toThrow(message)
})

test('records beyond the limits are counted and the first of them named', async () => {
  const data = JSON.stringify('y'.repeat(10 * 1024 * 1024))
  const entry = { kind: 'entry', created: 1n, updated: 0n, origin: 'o' } as const
  const records: StoredRecord[] = [
    { ...entry, key: 'great', data },
    ...Array.from({ length: 25 }, (_, i) => {
      return { ...entry, key: `k/${String(i).padStart(4, '0')}${'k'.repeat(1030)}`, data: '1' }
    }),
  ]
  const { report } = await readAll(await backupBytes(records))
  expect(report.excessCount).toBe(26)
  expect(report.excess).toHaveLength(20)
  expect(report.excess[0]).toMatch(/key "great": value of 10485762 bytes, the limit is 10485760/)
  expect(report.excess[1]).toMatch(/has 1036 bytes, the limit is 1024/)
})
