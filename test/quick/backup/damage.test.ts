import { describe, expect, test } from 'vitest'
import { decodeHead, HEAD_BYTES, MAGIC } from '../../../backup/format/frame.ts'
import { backupBytes, makeRecords, readAll } from '../../backup/fixtures.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const records = makeRecords(400)
const bytes = await backupBytes(records, { blockBytes: 4096 })
const jsonl = await backupBytes(records, { format: 'jsonl' })

/** Where each frame begins and how long it is. */
function framesOf(file: Buffer): { at: number; length: number; type: string }[] {
  const found: { at: number; length: number; type: string }[] = []
  for (let at = MAGIC.length; at < file.length; ) {
    const head = decodeHead(file.subarray(at, at + HEAD_BYTES))
    if (head === undefined) throw new Error(`no frame at ${at}`)
    found.push({ at, length: HEAD_BYTES + head.length, type: head.type })
    at += HEAD_BYTES + head.length
  }
  return found
}

const frames = framesOf(bytes)

function without(file: Buffer, at: number, length: number): Buffer {
  return Buffer.concat([file.subarray(0, at), file.subarray(at + length)])
}

describe('a binary backup', () => {
  test('tells truncation from everything else, at every length', async () => {
    for (let length = 0; length < bytes.length; length += length < 300 ? 1 : 97) {
      const { report } = await readAll(bytes.subarray(0, length))
      expect(
        report.damage.map(({ kind }) => kind),
        `${length} bytes`,
      ).toEqual(['truncated'])
      expect(report.damage[0]?.position).toBe(length)
      expect(report.damage[0]?.text).toContain(`cut off at byte ${length}`)
      expect(report.totals).toBeUndefined()
    }
  })

  test('detects any flipped bit, and reads what it does not touch', async () => {
    const random = new SeededRandom(7)
    for (let round = 0; round < 300; round++) {
      const at = random.below(bytes.length)
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8))
      const { records: read, report } = await readAll(damaged)
      expect(report.damageCount, `bit flipped at byte ${at}`).toBeGreaterThan(0)
      expect(report.damage.every(({ kind }) => kind === 'changed')).toBe(true)
      const known = new Map(records.map((record) => [record.key, record]))
      for (const record of read) expect(record).toEqual(known.get(record.key))
      // At most the records of one block are lost.
      expect(read.length).toBeGreaterThan(records.length - 60)
    }
  })

  test('names the damaged block, its position and the keys around it', async () => {
    const third = frames[3]
    const damaged = Buffer.from(bytes)
    const at = (third?.at ?? 0) + HEAD_BYTES + 5
    damaged[at] = (damaged[at] ?? 0) ^ 1
    const { report } = await readAll(damaged)
    expect(report.damage).toHaveLength(1)
    expect(report.damage[0]?.position).toBe(third?.at)
    expect(report.damage[0]?.text).toMatch(
      /^block 3 at byte \d+ does not match .* after "items\/\d+"/,
    )
  })

  test('tells blocks that are missing or doubled', async () => {
    const { at, length } = frames[2] ?? { at: 0, length: 0 }
    const missing = await readAll(without(bytes, at, length))
    expect(missing.report.damage[0]?.text).toMatch(/block 3 comes where 2 should/)
    const twice = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)])
    const doubled = await readAll(twice)
    expect(doubled.report.damageCount).toBeGreaterThan(0)
    expect(new Set(doubled.records.map(({ key }) => key)).size).toBe(doubled.records.length)
  })

  test('goes on behind foreign bytes in the middle and tells what follows the end', async () => {
    const at = frames[4]?.at ?? 0
    const noise = Buffer.alloc(1000, 0xf7)
    const { records: read, report } = await readAll(
      Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]),
    )
    expect(read).toEqual(records)
    expect(report.damage.map(({ text }) => text)).toEqual([
      expect.stringMatching(/the head of block 4 .* 1000 bytes are skipped/),
    ])
    const longer = await readAll(Buffer.concat([bytes, Buffer.from('more')]))
    expect(longer.report.damage[0]).toMatchObject({ kind: 'changed', position: bytes.length })
    expect(longer.report.damage[0]?.text).toContain('4 bytes follow the end')
  })

  test('is read without its header, and with damaged first bytes', async () => {
    const { at, length } = frames[0] ?? { at: 0, length: 0 }
    const headless = Buffer.from(bytes)
    headless.fill(0, at, at + length)
    const { records: read, report } = await readAll(headless)
    expect(report.header).toBeUndefined()
    expect(report.damage[0]?.text).toMatch(/^the head of the header at byte 8 is damaged/)
    expect(read).toEqual(records)
    const flipped = Buffer.from(bytes)
    flipped[0] = 0x09
    expect((await readAll(flipped)).records).toEqual(records)
  })
})

describe('a jsonl backup', () => {
  test('that is cut off says where', async () => {
    const lines = jsonl.toString().split('\n')
    for (const keep of [1, 2, 300, lines.length - 2]) {
      const part = Buffer.from(`${lines.slice(0, keep).join('\n')}\n`)
      const { report } = await readAll(part)
      expect(report.damage).toMatchObject([{ kind: 'truncated', position: part.length }])
    }
    const { report } = await readAll(jsonl.subarray(0, jsonl.length - 400))
    expect(report.damage.at(-1)?.kind).toBe('truncated')
  })

  test('tells a broken line by number and position and reads the others', async () => {
    const lines = jsonl.toString().split('\n')
    lines[10] = lines[10]?.slice(0, 20) ?? ''
    const { records: read, report } = await readAll(Buffer.from(lines.join('\n')))
    expect(read).toHaveLength(399)
    expect(report.damage).toHaveLength(1)
    expect(report.damage[0]?.text).toMatch(/^line 11 at byte \d+ is no record/)
  })

  test('shows by checksums what changed inside a line, and by the digest a line that is gone', async () => {
    const text = jsonl.toString()
    const changed = await readAll(Buffer.from(text.replace('"n":350,', '"n":351,')))
    expect(changed.report.damage[0]?.text).toMatch(/line 352 .* it was changed/)
    expect(changed.report.records).toBe(399)
    const lines = text.split('\n')
    lines.splice(20, 1)
    const fewer = await readAll(Buffer.from(lines.join('\n')))
    expect(fewer.report.damage[0]?.text).toMatch(/names 400 records .* the lines are 399/)
  })

  test('that is not UTF-8 in a place is damaged there', async () => {
    const damaged = Buffer.from(jsonl)
    damaged[damaged.indexOf('items/000301') + 60] = 0xff
    const { report } = await readAll(damaged)
    expect(report.damageCount).toBe(1)
    expect(report.records).toBe(399)
  })
})

test.each([
  ['a gzip file', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 1, 2, 3])],
  ['a text', Buffer.from('hello world, this is no backup')],
  ['a JSON file', Buffer.from('{"hello":"world"}\n')],
])('%s is no backup', async (_what, file) => {
  const { report } = await readAll(file)
  expect(report.damage[0]).toMatchObject({ kind: 'wrong_file', position: 0 })
  expect(report.damage[0]?.text).toContain('this is no backup')
})
