/** JSON text that code of the process hands over: nobody has checked it before the store does. */
import { describe, expect, it } from 'vitest'
import { openDatabase } from '../../support/database.ts'
import { openStore } from '../../support/store.ts'

describe('text that is not JSON is refused, and nothing is written', () => {
  it.each(['{', '{}}', '[1,]', 'nul', '1 2', "'a'"])('%s', async (json) => {
    const { database, store } = await openDatabase()
    await database.set('there', '{}')
    const refused = { code: 'invalid_json' }
    await expect(database.set('a', json)).rejects.toMatchObject(refused)
    await expect(database.push('l/*', json)).rejects.toMatchObject(refused)
    await expect(database.update('there', () => json)).rejects.toMatchObject(refused)
    await expect(
      database.setWithMeta('a', json, { created: 1n, updated: 0n }),
    ).rejects.toMatchObject(refused)
    await expect(
      database.batch([
        { op: 'set', key: 'b', json: '1' },
        { op: 'set', key: 'a', json },
      ]),
    ).rejects.toMatchObject({ ...refused, message: expect.stringContaining('operations[1]') })
    await expect(store.set('a', json)).rejects.toMatchObject(refused)
    expect(await store.keys()).toEqual(['there'])
    expect((await store.get('there'))?.data).toBe('{}')
  })
})

it('white space between tokens is left out', async () => {
  const store = await openStore()
  await store.set('a', ' { "n" : 1 ,\n"s" : "a b" } ')
  expect((await store.get('a'))?.data).toBe('{"n":1,"s":"a b"}')
})
