import { describe, expect, it } from 'vitest'
import { type LogFields, SILENT_LOGGER } from '../../../../src/core/ports/logger.ts'
import { progressOf } from '../../../../src/store/recovery/load-progress.ts'
import { FakeTime } from '../../../support/fake-time.ts'

const lines: (LogFields | undefined)[] = []
const logger = {
  ...SILENT_LOGGER,
  info: (message: string, fields?: LogFields) => {
    expect(message).toBe('reading the storage')
    lines.push(fields)
  },
}

/** Reads records at 10,000 a second. */
function read(total: number | undefined, records: number): unknown[] {
  lines.length = 0
  const time = new FakeTime()
  const record = progressOf(logger, time, total)
  for (let i = 0; i < records; i++) {
    record()
    if (i % 100 === 99) time.advance(10)
  }
  return lines
}

describe('the progress of opening', () => {
  it('is told about once a second, with the number there should be', () => {
    const told = read(35_000, 35_000)
    expect(told).toHaveLength(3)
    expect(told[0]).toEqual({ records: expect.any(Number), of: 35_000 })
    const numbers = told.map((fields) => (fields as { records: number }).records)
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
  })

  it('is not told of when that takes less than a second', () => {
    expect(read(undefined, 9000)).toEqual([])
  })

  it('leaves out a number that is not known', () => {
    expect(read(undefined, 15_000)).toEqual([{ records: expect.any(Number) }])
  })
})
