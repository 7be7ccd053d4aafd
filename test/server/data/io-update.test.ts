/** Read, change and write of a key in one step, inside the process. */
import { describe, expect, it } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import { serve } from '../serve.ts'

interface Account {
  readonly balance: number
}

const add =
  (amount: number) =>
  ({ balance }: Account): Account => ({ balance: balance + amount })

describe('update', () => {
  it('loses none of what many add at once, and tells what each has stored', async () => {
    const { server } = await serve()
    const initial = { balance: 0 }
    const results = await Promise.all(
      Array.from({ length: 20 }, () => server.update<Account>('a', add(1), { initial })),
    )
    expect((await server.get<Account>('a'))?.data).toEqual({ balance: 20 })
    const balances = results.map(({ data }) => data.balance).sort((a, b) => a - b)
    expect(balances).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    const versions = new Set(results.map(({ version }) => version))
    expect([versions.size, results[0]?.path, results[0]?.index]).toEqual([20, 'a', 'a'])
  })

  it('is not_found for a key that is absent or was deleted, unless it has an initial value', async () => {
    const { server } = await serve()
    const update = () => server.update<Account>('a', add(1))
    await expect(update()).rejects.toMatchObject({ code: 'not_found' })
    await server.set('a', { balance: 5 })
    await server.delete('a')
    await expect(update()).rejects.toMatchObject({ code: 'not_found' })
    const initial = { balance: 2 }
    expect((await server.update('a', add(1), { initial })).data).toEqual({ balance: 3 })
    expect((await server.update('a', add(1), { initial })).data).toEqual({ balance: 4 })
  })

  it('changes what is stored, not what a read filter shows, and passes the write filter', async () => {
    const { server } = await serve()
    await server.set('a', { balance: 1, pin: 7 })
    server.filters.readObject('a', (_key, entry) => ({ ...entry, data: { balance: 99 } }))
    server.filters.write('a', async (_key, value) => {
      await Promise.resolve()
      return { ...(value as object), checked: true }
    })
    const { data } = await server.update<Account>('a', (account) => ({ ...account, balance: 2 }))
    expect(data).toEqual({ balance: 2, pin: 7, checked: true })
    expect((await server.store.get('a'))?.data).toBe('{"balance":2,"pin":7,"checked":true}')
    const many = Array.from({ length: 20 }, () =>
      server.update<Account>('a', ({ balance, ...rest }) => ({ ...rest, balance: balance + 1 })),
    )
    await Promise.all(many)
    expect((await server.store.get('a'))?.data).toContain('"balance":22')
  })

  it('writes nothing when the change throws, or gives a promise or no JSON', async () => {
    const { server } = await serve()
    await server.set('a', 1)
    const refuse = (): never => {
      throw new StateError('forbidden', 'no')
    }
    const changes: [string, (value: unknown) => unknown][] = [
      ['forbidden', refuse],
      ['invalid_option', () => Promise.resolve(2)],
      ['invalid_json', () => undefined],
    ]
    for (const [code, change] of changes) {
      await expect(server.update('a', change)).rejects.toMatchObject({ code })
    }
    expect((await server.get('a'))?.data).toBe(1)
  })

  it('takes a plain key, a condition and digits as they are', async () => {
    const { server } = await serve()
    await expect(server.update('a/*', (value) => value)).rejects.toMatchObject({
      code: 'invalid_glob',
    })
    await server.set('n', 2n ** 64n)
    const { data, version } = await server.update<bigint>('n', (n) => n + 1n)
    expect(data).toBe(2n ** 64n + 1n)
    const stale = { precondition: { kind: 'version', version: version - 1n } } as const
    await expect(server.update<bigint>('n', (n) => n + 1n, stale)).rejects.toMatchObject({
      code: 'precondition_failed',
    })
  })
})
