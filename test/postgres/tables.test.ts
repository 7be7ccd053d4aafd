import pg from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import type { PostgresTables, TableEntry } from '../../postgres/index.ts'
import { DEFAULT_JSON_BOUNDS } from '../../src/core/json/bounds.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { usePostgres } from '../support/services.ts'
import { openTables } from './table-fixtures.ts'
import { compare, TableModel } from './table-model.ts'

const postgres = usePostgres()
let url = ''
beforeAll(async () => {
  url = await postgres().createDatabase()
})

let tables = 0
/** A new, empty table. */
async function newTable(api: PostgresTables): Promise<string> {
  const table = `t${++tables}`
  await api.createTable(table)
  return table
}

describe('a table and its model do the same', () => {
  const SEGMENTS = ['a', 'b', 'ab', 'a.b', 'B', '0', 'a-b', 'x_y', 'ba']
  const PIECES = ['*', 'a*', '*b', 'a*b', '*.*', 'x_*', ...SEGMENTS]
  const VALUES = [
    '{"f":1}',
    '{"f":"1","g":[1,2]}',
    '{"f":true}',
    '{"f":null}',
    '{"f":"x"}',
    '"\\u0000"',
    '12345678901234567890.10',
  ]

  it.each([1, 2, 3, 4])('through random operations, seed %i', async (seed) => {
    const random = new SeededRandom(seed)
    const api = await openTables(url)
    const table = await newTable(api)
    const model = new TableModel()
    const path = (pieces: readonly string[]): string =>
      Array.from({ length: 1 + random.below(3) }, () => random.pick(pieces)).join('/')
    const key = (): string => path(SEGMENTS)
    const glob = (): string => path(PIECES)
    const old = (): TableEntry => ({
      key: key(),
      value: random.pick(VALUES),
      created: BigInt(random.below(50)),
      updated: BigInt(random.below(50)),
    })
    const steps: readonly (() => Promise<unknown>)[] = [
      async () => {
        const [name, value] = [key(), random.pick(VALUES)]
        model.set(name, value, await api.set(table, name, value))
      },
      async () => {
        const names = [...new Set(Array.from({ length: random.below(20) }, key))]
        const values = names.map(() => random.pick(VALUES))
        const stamps = await api.setBatch(table, names, values)
        names.forEach((name, i) => {
          model.set(name, values[i] ?? '', stamps[i] ?? 0n)
        })
      },
      async () => {
        const entry = old()
        await api.setWithMeta(table, entry.key, entry.value, entry.created, entry.updated)
        model.put(entry)
      },
      async () => {
        const entries = Array.from({ length: random.below(10) }, old)
        expect(await api.importBatch(table, entries)).toBe(model.importOld(entries))
      },
      async () => {
        const name = random.chance(0.1) ? glob() : key()
        expect(await api.delete(table, name)).toBe(model.delete(name))
      },
      async () => {
        await api.compact(table, 0)
        model.forgetDeletes()
      },
      async () => {
        if (random.chance(0.2)) expect(await api.clear(table)).toBe(model.delete(undefined))
      },
    ]
    for (let step = 0; step < 200; step++) {
      await random.pick(steps)()
      const pattern = random.chance(0.2) ? key() : glob()
      expect(await api.get(table, pattern), `${pattern} after step ${step}`).toEqual(
        model.list(pattern),
      )
      await compareReads(api, table, model, glob(), random)
    }
    expect(await api.keys(table)).toEqual(model.list().map(({ key: name }) => name))
  })

  async function compareReads(
    api: PostgresTables,
    table: string,
    model: TableModel,
    path: string,
    random: SeededRandom,
  ): Promise<void> {
    const all = model.list()
    const n = 1 + random.below(5)
    const stamps = [0n, ...all.map(({ created }) => created)]
    const [a, b] = [random.pick(stamps), random.pick(stamps)]
    const [from, to] = a < b ? [a, b] : [b, a]
    // 0n as the upper bound is none.
    const within = model.range(path, from, to === 0n ? 2n ** 63n : to)
    const last = all[random.below(all.length + 1)]
    const place = 1 + random.below(3)
    const segment = random.pick(SEGMENTS)
    const [got, count, range, keys, segments, scanned, updated] = await Promise.all([
      api.getN(table, path, n),
      api.getNRange(table, path, from, to, n),
      api.getRange(table, path, from, to),
      api.keysRange(table, path, from, to, n),
      api.getRangeSegment(table, path, from, to, n, [place], segment),
      api.scan(table, last?.created ?? 0n, last?.key ?? '', n),
      api.getUpdatedRange(table, path, 1n, 0n),
    ])
    expect(got).toEqual(model.list(path).slice(0, n))
    expect(count).toEqual(within.slice(0, n))
    expect(range).toEqual(within)
    expect(keys).toEqual(within.slice(0, n).map(({ key }) => key))
    expect(segments).toEqual(
      within.filter(({ key }) => key.split('/')[place - 1] === segment).slice(0, n),
    )
    const oldest = [...all].sort(compare)
    const after = last === undefined ? oldest : oldest.filter((entry) => compare(entry, last) > 0)
    expect(scanned).toEqual(after.slice(0, n))
    expect(updated).toEqual(model.list(path).filter((entry) => entry.updated > 0n))
  }
})

describe('values', () => {
  it('come back digit for digit, whatever jsonb makes of them', async () => {
    const api = await openTables(url)
    const table = await newTable(api)
    const { maxDepth } = DEFAULT_JSON_BOUNDS
    const texts = [
      '12345678901234567890.1000',
      '1e400',
      '1e999999',
      '-0.0',
      '{"b":1,"a":2,"a":3}',
      '"\\u0000 and \\ud800"',
      '"\\u00e9 é 😀 \u2028"',
      '"$1; \' \\" \\\\ %s %I"',
      `${'['.repeat(maxDepth)}${']'.repeat(maxDepth)}`,
      `"${'x'.repeat(3_000_000)}"`,
      'null',
    ]
    await api.setBatch(
      table,
      texts.map((_, i) => `k/${i}`),
      texts,
    )
    for (const [i, text] of texts.entries()) {
      expect((await api.get(table, `k/${i}`))[0]?.value === text, text.slice(0, 40)).toBe(true)
    }
    await api.set(table, 'spaced', ' { "a" : [ 1 , 2 ] } ')
    expect((await api.get(table, 'spaced'))[0]?.value).toBe('{"a":[1,2]}')
  })

  it('are found by field and by containment, unless jsonb can not hold them', async () => {
    const api = await openTables(url)
    const table = await newTable(api)
    const values = {
      'a/int': '{"n":5,"s":"5"}',
      'a/text': '{"n":"5"}',
      'a/decimal': '{"n":5.0}',
      'a/yes': '{"n":true}',
      'a/null': '{"n":null}',
      'a/list': '[{"n":5}]',
      'a/none': '{"n":5,"x":"\\u0000"}',
      'b/int': '{"n":5}',
    }
    await api.setBatch(table, Object.keys(values), Object.values(values))
    const byField = async (...of: [path: string, field: string, text: string]) =>
      (await api.getByField(table, ...of)).map(({ key }) => key).sort()
    expect(await byField('a/*', 'n', '5')).toEqual(['a/int', 'a/text'])
    expect(await byField('*/*', 'n', '5')).toEqual(['a/int', 'a/text', 'b/int'])
    expect(await byField('a/*', 'n', '5.0')).toEqual(['a/decimal'])
    expect(await byField('a/*', 'n', 'true')).toEqual(['a/yes'])
    expect(await byField('a/*', 'n', 'null')).toEqual([])
    expect(await byField('a/*', 'n', '\u0000')).toEqual([])
    expect(await byField('a/int', 's', '5')).toEqual(['a/int'])
    const byJson = async (json: string) =>
      (await api.getByJson(table, 'a/*', json)).map(({ key }) => key).sort()
    expect(await byJson('{"n":5}')).toEqual(['a/decimal', 'a/int'])
    expect(await byJson('[{"n":5}]')).toEqual(['a/list'])
    expect(await byJson('{}')).toHaveLength(5)
    await expect(byJson('"\\u0000"')).rejects.toMatchObject({ code: 'invalid_json' })
    await expect(byJson('{')).rejects.toMatchObject({ code: 'invalid_json' })
  })
})

describe('stamps', () => {
  it('grow strictly over several connections and after stamps ahead of the clock', async () => {
    const [one, two] = await Promise.all([openTables(url), openTables(url)])
    const table = await newTable(one)
    const writers = Array.from({ length: 20 }, async (_, writer) => {
      const api = writer % 2 === 0 ? one : two
      const stamps: bigint[] = []
      for (let i = 0; i < 20; i++) stamps.push(await api.set(table, `k/${writer}`, `${i}`))
      return stamps
    })
    const perWriter = await Promise.all(writers)
    const all = perWriter.flat()
    expect(new Set(all).size).toBe(400)
    for (const stamps of perWriter) {
      expect(stamps).toEqual([...stamps].sort((a, b) => (a < b ? -1 : 1)))
    }
    const inMs = (ms: number): bigint => BigInt(Date.now() + ms) * 1_000_000n
    const ahead = inMs(50_000)
    await one.setWithMeta(table, 'ahead', '1', ahead, 0n)
    await expect(two.setWithMeta(table, 'late', '1', 1n, inMs(200_000))).rejects.toMatchObject({
      code: 'clock_drift',
    })
    expect(await two.set(table, 'k/next', '1')).toBeGreaterThan(ahead)
  })
})

describe('a table', () => {
  it('is made once by many at the same time, and dropped', async () => {
    const fresh = await postgres().createDatabase()
    const apis = await Promise.all(Array.from({ length: 6 }, () => openTables(fresh)))
    await Promise.all(apis.flatMap((api) => [api.createTable('Same'), api.createTable('same')]))
    expect(await apis[0]?.tables()).toEqual(['Same', 'same'])
    await apis[0]?.set('Same', 'a', '1')
    expect(await apis[1]?.keys('same')).toEqual([])
    await Promise.all(apis.map((api) => api.dropTable('Same')))
    await expect(apis[2]?.keys('Same')).rejects.toMatchObject({ code: 'not_found' })
    await expect(apis[2]?.set('Same', 'a', '1')).rejects.toMatchObject({ code: 'not_found' })
    await expect(apis[2]?.changes('Same', 0)).rejects.toMatchObject({ code: 'not_found' })
    await apis[3]?.createTable('Same')
    expect(await apis[4]?.keys('Same')).toEqual([])
  })

  it('tells its size', async () => {
    const api = await openTables(url)
    const table = await newTable(api)
    await api.setBatch(table, ['a', 'b', 'c'], ['1', '2', '3'])
    await api.delete(table, 'a')
    const stats = await api.stats(table)
    expect(stats).toMatchObject({ rows: 3, head: 4, floor: 0 })
    expect(stats.bytes).toBeGreaterThan(0)
    expect(await api.compact(table, 0)).toBe(1)
    expect(await api.stats(table)).toMatchObject({ rows: 2, head: 4, floor: 4 })
  })

  it('is streamed in pages in either order', async () => {
    const api = await openTables(url)
    const table = await newTable(api)
    const keys = Array.from({ length: 23 }, (_, i) => `k/${i}`)
    await api.setBatch(
      table,
      [...keys, 'other'],
      [...keys, 'x'].map((_, i) => `${i}`),
    )
    for (const pageSize of [1, 5, 23, 100]) {
      const seen: string[] = []
      for await (const { key } of api.entries(table, { path: 'k/*', pageSize })) seen.push(key)
      expect(seen).toEqual([...keys].reverse())
    }
    const oldest: string[] = []
    for await (const { key } of api.entries(table, { order: 'oldest', pageSize: 7 })) {
      oldest.push(key)
    }
    expect(oldest).toEqual([...keys, 'other'])
  })

  it('takes an all-or-nothing batch', async () => {
    const api = await openTables(url)
    const table = await newTable(api)
    await expect(api.setBatch(table, ['a', 'b'], ['1', '{'])).rejects.toMatchObject({
      code: 'invalid_json',
    })
    const stamps = await api.setBatch(table, ['a', 'b', 'a'], ['1', '2', '3'])
    expect(stamps[0]).toBe(stamps[2])
    expect((await api.get(table, 'a'))[0]?.value).toBe('3')
    expect(await api.setBatch(table, [], [])).toEqual([])
  })

  it('is written by SQL alone under the same rules', async () => {
    const api = await openTables(url)
    const table = await newTable(api)
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      await client.query("SELECT ooo_set($1, ARRAY['a/1', 'a/2'], ARRAY['1', '2'], 'psql')", [
        table,
      ])
      await client.query("SELECT ooo_delete($1, 'a/*1', 'psql')", [table])
      expect(await api.keys(table)).toEqual(['a/2'])
      for (const bad of ['a//b', '/a', 'a*', 'a b', '', 'x'.repeat(1025)]) {
        const set = client.query("SELECT ooo_set($1, ARRAY[$2], ARRAY['1'], 'psql')", [table, bad])
        await expect(set, bad).rejects.toThrow(/constraint/)
      }
      const json = client.query("SELECT ooo_set($1, ARRAY['a'], ARRAY['{'], 'psql')", [table])
      await expect(json).rejects.toThrow(/json/)
    } finally {
      await client.end()
    }
  })
})

describe('what is refused', () => {
  it('is what goes beyond 64 Mi characters of writes under way, and only that', async () => {
    const tables = await openTables(url)
    const table = await newTable(tables)
    const great = `"${'x'.repeat(9_000_000)}"`
    const writes = Array.from({ length: 9 }, (_, i) => tables.set(table, `k/${i}`, great))
    const results = await Promise.allSettled(writes)
    const errors = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason] : [],
    )
    expect(errors).toMatchObject([{ code: 'overloaded' }, { code: 'overloaded' }])
    await tables.set(table, 'k/8', great)
  })

  const TRICKS = [
    "'; DROP TABLE ooo_tables; --",
    '"; DROP TABLE ooo_tables; --',
    "a' OR '1'='1",
    '$1',
    '%',
    'a\u0000b',
    '\\',
    "E'\\x27'",
    'pg_class',
  ]

  it('is code in any argument: it is refused or taken literally', async () => {
    const api = await openTables(url)
    const table = await newTable(api)
    await api.set(table, 'safe', '{"f":"x"}')
    for (const trick of TRICKS) {
      const attempts: (() => Promise<unknown>)[] = [
        () => (trick === 'pg_class' ? api.keys(trick) : api.createTable(trick)),
        () =>
          api.dropTable(trick === 'pg_class' ? 'nope' : table).then(() => api.createTable(table)),
        () => api.set(table, `a/${trick}`, '1'),
        () => api.set(table, 'value', JSON.stringify(trick)),
        () => api.setBatch(table, [trick], ['1']),
        () => api.setWithMeta(table, trick, '1', 1n, 1n),
        () => api.importBatch(table, [{ key: trick, value: '1', created: 1n, updated: 0n }]),
        () => api.get(table, `${trick}*`),
        () => api.getByField(table, '*', trick, trick),
        () => api.getByJson(table, '*', JSON.stringify({ [trick]: trick })),
        () => api.getRangeSegment(table, '*', 0n, 0n, 5, [1], trick),
        () => api.scan(table, 0n, trick, 5),
        () => api.keysRange(table, trick, 0n, 0n, 5),
        () => api.delete(table, trick),
        () => api.stats(trick),
        () => api.unknown(table, [trick]),
        () => api.dropTable(trick),
        () => api.changes(trick, 0),
        () => api.compact(trick),
        () => api.clear(trick),
        () => api.entries(trick, { path: trick }).next(),
        async () => void api.watch(trick, { path: trick }),
        () =>
          api.merge(table, [
            { kind: 'entry', key: 'm', created: 1n, updated: 0n, origin: trick, data: '1' },
          ]),
        () =>
          api.merge(table, [
            { kind: 'entry', key: 'm', created: 1n, updated: 0n, origin: 'a', data: trick },
          ]),
      ]
      for (const attempt of attempts) {
        const outcome = await attempt().catch((error: { code: string }) => error.code)
        if (typeof outcome === 'string') {
          expect(outcome).toMatch(/^(invalid_\w+|not_found)$/)
        }
      }
    }
    expect((await api.tables()).includes(table)).toBe(true)
    await api.set(table, 'value', JSON.stringify(TRICKS[0]))
    expect((await api.get(table, 'value'))[0]?.value).toBe(JSON.stringify(TRICKS[0]))
  })

  it('names what is wrong by code', async () => {
    const api = await openTables(url, { maxRows: 3, maxBatch: 3 })
    const table = await newTable(api)
    const refused = (code: string) => expect.objectContaining({ code })
    const codeOf = (work: Promise<unknown>) => work.catch((error: unknown) => error)
    expect(await codeOf(api.createTable('1a'))).toEqual(refused('invalid_option'))
    expect(await codeOf(api.createTable('a'.repeat(49)))).toEqual(refused('invalid_option'))
    await api.createTable('a'.repeat(48))
    expect(await codeOf(api.set(table, 'a/*', '1'))).toEqual(refused('invalid_glob'))
    expect(await codeOf(api.set(table, 'a//b', '1'))).toEqual(refused('invalid_key'))
    expect(await codeOf(api.set(table, 'a'.repeat(1025), '1'))).toEqual(refused('invalid_key'))
    expect(await codeOf(api.set(table, 'a', ''))).toEqual(refused('invalid_json'))
    expect(await codeOf(api.set(table, 'a', '"\ud800"'))).toEqual(refused('invalid_json'))
    expect(await codeOf(api.setBatch(table, ['a'], []))).toEqual(refused('invalid_option'))
    expect(await codeOf(api.setWithMeta(table, 'a', '1', -1n, 0n))).toEqual(
      refused('invalid_option'),
    )
    expect(await codeOf(api.getN(table, '*', 0))).toEqual(refused('invalid_option'))
    expect(await codeOf(api.getRange(table, '*', 5n, 4n))).toEqual(refused('invalid_option'))
    await api.setBatch(table, ['a', 'b', 'c'], ['1', '1', '1'])
    expect(await api.keys(table)).toHaveLength(3)
    await api.set(table, 'd', '1')
    expect(await codeOf(api.keys(table))).toEqual(refused('too_large'))
    expect(await codeOf(api.setBatch(table, ['a', 'b', 'c', 'd'], ['1', '1', '1', '1']))).toEqual(
      refused('too_large'),
    )
  })
})
