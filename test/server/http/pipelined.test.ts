/** Requests that a client sends on one connection without waiting for the answers, and then leaves. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { serve } from '../serve.ts'

it('each hears that the client has left, also one whose turn to be answered has not come', async () => {
  const node = await serve()
  const begun: string[] = []
  const left: string[] = []
  node.server.endpoint({
    path: '/wait/{name}',
    methods: { GET: {} },
    handler: async (_request, response, { variables: { name = '' }, signal }) => {
      begun.push(name)
      response.once('close', () => left.push(`${name} closed`))
      await once(signal, 'abort')
      left.push(`${name} aborted`)
    },
  })
  const names = ['a', 'b', 'c']
  const requests = names.map((name) => `GET /wait/${name} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  const socket = connect(node.port, '127.0.0.1', () => socket.write(requests.join('')))
  await waitFor(() => begun.length === 3)
  socket.destroy()
  await waitFor(() => left.length === 6, { deadlineMs: 5000, what: 'all to hear of it' })
  expect(left.sort()).toEqual(names.flatMap((name) => [`${name} aborted`, `${name} closed`]))
})

it('a long list that waits for its turn is let go when the client leaves', async () => {
  const node = await serve()
  const value = JSON.stringify('x'.repeat(100_000))
  for (let i = 0; i < 10; i++) await node.post(`/items/${i}`, value)
  node.server.endpoint({
    path: '/wait',
    methods: { GET: {} },
    handler: async (_request, _response, { signal }) => {
      await once(signal, 'abort')
    },
  })
  const head = 'HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const requests = `GET /wait ${head}${`GET /items/* ${head}`.repeat(20)}`
  const socket = connect(node.port, '127.0.0.1', () => socket.write(requests))
  const lists = (): number => node.server.memoryMetrics.listsSent
  await waitFor(() => lists() === 20)
  // Their room counts although none has had its turn.
  expect(node.server.memoryMetrics.answerBytes).toBeGreaterThan(20 * 200_000)
  socket.destroy()
  await waitFor(() => lists() === 0, { deadlineMs: 5000, what: 'no list' })
  expect(node.server.memoryMetrics.answerBytes).toBe(0)
})
