// Socket.IO with its Redis adapter, to compare with: each value that is posted is emitted to all.
// Argument: the URL of Redis.

import { createServer } from 'node:http'
import { createAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'

const [url] = process.argv.slice(2)
const publisher = new Redis(url)
const subscriber = publisher.duplicate()
for (const client of [publisher, subscriber]) client.on('error', (error) => console.error(error))

let state = {}
const http = createServer(async (request, response) => {
  if (request.method === 'GET') {
    response.end(JSON.stringify(state))
    return
  }
  let body = ''
  for await (const part of request) body += part
  state = JSON.parse(body)
  io.emit('state', state)
  const answer = '{"index":"state"}'
  response.writeHead(200, { 'content-length': answer.length }).end(answer)
})
const io = new Server(http, {
  adapter: createAdapter(publisher, subscriber),
  perMessageDeflate: false,
  transports: ['websocket'],
})
io.on('connection', (socket) => socket.emit('state', state))
http.listen(0, '127.0.0.1', () => process.stdout.write(`on ${http.address().port}\n`))
