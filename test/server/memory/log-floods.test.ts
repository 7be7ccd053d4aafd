/** What clients and peers bring about again and again is not a line in the log each time. */
import { once } from 'node:events'
import { afterEach, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { cluster } from '../../../cluster/index.ts'
import { StateError } from '../../../src/core/errors.ts'
import type { LogFields, Logger } from '../../../src/core/ports/logger.ts'
import { createServer, type Server } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { request } from '../../support/http.ts'

const MANY = 30
const lines: [message: string, fields: LogFields | undefined][] = []
const note = (message: string, fields?: LogFields): void => {
  lines.push([message, fields])
}
const logger: Logger = { debug: () => undefined, info: note, warn: note, error: note }
let server: Server | undefined

afterEach(async () => {
  await server?.close()
  lines.length = 0
})

it('requests that fail for one reason are one line, and another reason is another', async () => {
  server = createServer({ storage: new MemoryStorage(), port: 0, logger })
  server.filters.write('busy', () => {
    throw new StateError('overloaded', 'test: no room')
  })
  server.filters.write('broken', () => {
    throw new StateError('storage_failed', 'test: no disk')
  })
  server.hooks.on('afterWrite', () => {
    throw new Error('test: a hook that fails')
  })
  await server.open()
  const url = server.address?.url ?? ''
  for (let i = 0; i < MANY; i++) {
    expect((await request('POST', `${url}/busy`, { body: '1' })).status).toBe(503)
    expect((await request('POST', `${url}/broken`, { body: '1' })).status).toBe(500)
    expect((await request('POST', `${url}/items/${i}`, { body: '1' })).status).toBe(200)
  }
  const codes = lines.filter(([message]) => message === 'a request failed').map(([, f]) => f?.code)
  expect(codes).toEqual(['overloaded', 'storage_failed'])
  expect(lines.filter(([message]) => message === 'a hook failed')).toHaveLength(1)
})

it('streams that say nonsense are one line', async () => {
  const plugin = cluster({ keys: [{ path: 'items/*' }], logger })
  server = createServer({ storage: new MemoryStorage(), port: 0, logger, plugins: [plugin] })
  await server.open()
  const url = (server.address?.url ?? '').replace('http', 'ws')
  for (let i = 0; i < MANY; i++) {
    const socket = new WebSocket(`${url}/_pivot/stream`)
    socket.on('open', () => socket.send(`nonsense ${i}`))
    await once(socket, 'close')
  }
  expect(plugin.status()?.refusals.total).toBe(MANY)
  expect(lines.filter(([message]) => message === 'follower disconnected')).toHaveLength(1)
})
