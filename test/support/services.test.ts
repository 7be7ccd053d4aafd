import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { usePostgres, useRedis } from './services.ts'

async function answer(url: string): Promise<number | undefined> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<{ n: number }>('SELECT 1 AS n')).rows[0]?.n
  } finally {
    await client.end()
  }
}

describe('the PostgreSQL of tests', () => {
  const postgres = usePostgres({ control: true })

  it('comes back with its data after stop, crash and kill', async () => {
    const url = await postgres().createDatabase()
    for (const end of ['stop', 'crash', 'kill'] as const) {
      await postgres().control[end]()
      await expect(answer(url)).rejects.toThrow()
      await postgres().control.start()
      expect(await answer(url)).toBe(1)
    }
  })
})

describe('the Redis of tests', () => {
  const redis = useRedis()

  it('has an address', () => {
    expect(redis().url).toMatch(/^rediss?:\/\//)
  })
})
