/** The check of keys and values at the doors of a server: HTTP and in process. */
import { describe, expect, it } from 'vitest'
import { serve } from '../serve.ts'

const LIMIT = 1024
const GREAT = JSON.stringify('x'.repeat(LIMIT - 1))
const LONG = 'k'.repeat(1025)
const DEEP = Array(33).fill('s').join('/')

describe('a value above maxValueBytes', () => {
  it('is refused with 413 on every way over HTTP, and nothing is written', async () => {
    const server = await serve({ maxValueBytes: LIMIT })
    await server.post('/doc', `{"a":"${'x'.repeat(600)}"}`)
    const patch = await server.request('PATCH', '/doc', `{"b":"${'y'.repeat(600)}"}`)
    expect([patch.status, patch.body]).toEqual([413, expect.stringMatching(/12\d\d bytes.*1024/)])
    expect((await server.post('/a', GREAT)).status).toBe(413)
    expect((await server.post('/list/*', GREAT)).status).toBe(413)
    const operations = [
      { op: 'set', path: 'ok', data: 1 },
      { op: 'set', path: 'b', data: JSON.parse(GREAT) },
    ]
    const batch = await server.post('/-/batch', JSON.stringify({ operations }))
    expect([batch.status, batch.body]).toEqual([413, expect.stringContaining('operations[1]')])
    expect(await server.server.store.keys()).toEqual(['doc'])
  })

  it('is refused in process', async () => {
    const { server } = await serve({ maxValueBytes: LIMIT })
    const refused = expect.objectContaining({ code: 'too_large' })
    await expect(server.set('a', JSON.parse(GREAT))).rejects.toEqual(refused)
    await expect(server.database.set('a', GREAT)).rejects.toEqual(refused)
    const meta = { created: 1n, updated: 0n }
    await expect(server.database.setWithMeta('a', GREAT, meta)).rejects.toEqual(refused)
    expect(await server.store.keys()).toEqual([])
  })

  it('is what a body may be where nothing else is set', async () => {
    const server = await serve({ maxBodyBytes: 1500 })
    await server.post('/doc', `{"a":"${'x'.repeat(900)}"}`)
    expect((await server.request('PATCH', '/doc', `{"b":"${'y'.repeat(900)}"}`)).status).toBe(413)
  })
})

describe('a key beyond 1,024 bytes or 32 segments', () => {
  it.each([LONG, DEEP])('is refused with 400, and reads of it are answered', async (key) => {
    const server = await serve()
    const written = await server.post(`/${key}`, '1')
    expect([written.status, written.body]).toEqual([400, expect.stringContaining('limit is')])
    expect((await server.get(`/${key}`)).status).toBe(404)
  })
})
