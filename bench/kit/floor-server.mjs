// The limit that a fan-out in Node is compared with: a server that does nothing but write ready
// bytes. It frames each change once and writes the same buffer to every socket in the same tick. It has one
// key or list, no history, no bounds, no storage, and no protection from readers that do not read.

import { createHash } from 'node:crypto'
import { createServer } from 'node:http'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** Insertion order is the order of the list on the wire: entries never leave. */
const entries = new Map()
const sockets = new Set()
let version = 0

const server = createServer(async (request, response) => {
  const key = request.url.slice(1)
  if (request.method === 'GET') {
    response.end(state(key))
    return
  }
  let body = ''
  for await (const part of request) body += part
  write(key, body)
  response.end(`{"index":"${key.slice(key.lastIndexOf('/') + 1)}"}`)
})

server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1')
    .update(request.headers['sec-websocket-key'] + GUID)
    .digest('base64')
  const key = request.url.slice(1)
  socket.setNoDelay(true)
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  socket.write(frame(true, state(key)))
  const subscriber = { key, socket }
  sockets.add(subscriber)
  socket.on('error', () => socket.destroy())
  socket.on('close', () => sockets.delete(subscriber))
  socket.resume()
})

server.listen(0, '127.0.0.1', () => process.stdout.write(`on ${server.address().port}\n`))

function write(key, json) {
  const known = entries.get(key)
  const position = known?.position ?? entries.size
  const entry = { position, text: `{"path":"${key}","data":${json}}` }
  entries.set(key, entry)
  version += 1
  const list = key.slice(0, key.lastIndexOf('/') + 1)
  const op = known === undefined ? 'add' : 'replace'
  const patch = frame(false, `[{"op":"${op}","path":"/${position}","value":${entry.text}}]`)
  const whole = frame(true, entry.text)
  for (const subscriber of sockets) {
    if (subscriber.key === key) subscriber.socket.write(whole)
    else if (subscriber.key === `${list}*`) subscriber.socket.write(patch)
  }
}

function state(key) {
  if (!key.endsWith('*')) return entries.get(key)?.text ?? '{"data":{}}'
  return `[${[...entries.values()].map(({ text }) => text).join(',')}]`
}

/** One binary frame of a server (RFC 6455 section 5.2) with the envelope in it. */
function frame(snapshot, data) {
  const payload = Buffer.from(
    `{"snapshot":${snapshot},"version":"${version.toString(16)}","data":${data}}`,
  )
  const { length } = payload
  if (length < 126) return Buffer.concat([Buffer.from([0x82, length]), payload])
  const head = Buffer.alloc(length < 65536 ? 4 : 10)
  head[0] = 0x82
  head[1] = length < 65536 ? 126 : 127
  if (length < 65536) head.writeUInt16BE(length, 2)
  else head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}
