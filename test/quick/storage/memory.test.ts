import { describe, expect, it } from 'vitest'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { describeStorage } from '../../conformance/describe-storage.ts'
import { put, rowsOf } from '../../conformance/storage-case.ts'

describeStorage({
  name: 'memory',
  create: async () => ({ adapter: new MemoryStorage() }),
})

describe('MemoryStorage', () => {
  it('keeps 200,000 rows written in random order sorted, within seconds', async () => {
    const storage = new MemoryStorage()
    await storage.open()
    // A multiplier coprime to the count visits every number once, in scattered order.
    const count = 200_000
    for (let i = 0; i < count; i += 1) {
      const number = (i * 7_919) % count
      await storage.batch([put(String(number).padStart(6, '0'), String(i))])
    }
    const rows = await rowsOf(storage)
    expect(rows).toHaveLength(count)
    expect(rows.every((row, i) => Number(row[0]) === i)).toBe(true)
  })

  it('two objects share nothing', async () => {
    const [a, b] = [new MemoryStorage(), new MemoryStorage()]
    await Promise.all([a.open(), b.open()])
    await a.batch([put('k', '1')])
    expect(await b.get('k')).toBeUndefined()
  })
})
