import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { redisAnswers } from './redis-program.ts'
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

describe('a PostgreSQL with settings of a test', () => {
  const postgres = usePostgres({ settings: { wal_writer_delay: '10s' } })

  it('has them', async () => {
    const client = new pg.Client({ connectionString: postgres().url })
    await client.connect()
    try {
      const { rows } = await client.query('SHOW wal_writer_delay')
      expect(rows).toEqual([{ wal_writer_delay: '10s' }])
    } finally {
      await client.end()
    }
  })
})

describe('the Redis of tests', () => {
  const redis = useRedis({ control: true })

  it('comes back under its address after stop, crash and kill', async () => {
    const { url, control } = redis()
    expect(await redisAnswers(url)).toBe(true)
    for (const end of ['stop', 'crash', 'kill'] as const) {
      await control?.[end]()
      expect(await redisAnswers(url)).toBe(false)
      await control?.start()
      expect(await redisAnswers(url)).toBe(true)
    }
  })

  it('may be told twice to start or to end', async () => {
    const { url, control } = redis()
    await control?.start()
    await control?.kill()
    await control?.kill()
    await control?.stop()
    await control?.start()
    expect(await redisAnswers(url)).toBe(true)
  })
})
