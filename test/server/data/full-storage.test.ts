import { afterEach, expect, test } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import { createServer } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { request } from '../../support/http.ts'

class FullStorage extends MemoryStorage {
  isFull = false

  override async batch(...args: Parameters<MemoryStorage['batch']>): Promise<void> {
    if (this.isFull) throw new StateError('storage_full', 'storage: no space left')
    return super.batch(...args)
  }
}

const storage = new FullStorage()
const server = createServer({ storage, port: 0 })

afterEach(() => server.close())

test('a node whose storage refuses writes says so, until it takes one', async () => {
  await server.open()
  const url = server.address?.url ?? ''
  const tell = async (): Promise<string> => {
    const answers = [`${url}/-/readyz`, `${url}/?api=storage`].map((at) => request('GET', at))
    return (await Promise.all(answers)).map(({ body }) => body).join('')
  }
  expect(await tell()).not.toMatch(/refusal|writes are refused/)
  storage.isFull = true
  expect((await request('POST', `${url}/a`, { body: '1' })).status).toBe(507)
  expect(await tell()).toContain('writes are refused: storage: no space left')
  expect(await tell()).toContain('"refusal":"storage: no space left"')
  storage.isFull = false
  expect((await request('POST', `${url}/a`, { body: '1' })).status).toBe(200)
  expect(await tell()).not.toMatch(/refusal|writes are refused/)
})
