/** WebSocket handshakes and frames (RFC 6455), right and wrong, as bytes. */
import { key } from './json-inputs.mjs'

export function handshake(random, path = pathOf(random)) {
  const version = random.chance(0.95) ? 13 : random.one([8, 0, 'x'])
  const hasKey = random.chance(0.97)
  const headers = [
    'host: localhost',
    'upgrade: websocket',
    'connection: Upgrade',
    `sec-websocket-version: ${version}`,
    ...(hasKey ? [`sec-websocket-key: ${random.bytes(16).toString('base64')}`] : []),
    ...(random.chance(0.05) ? ['sec-websocket-extensions: permessage-deflate'] : []),
  ]
  const held = random.chance(0.1) ? `?v=${random.one(['0', 'abc', 'zz', ''])}` : ''
  return Buffer.from(`GET ${path}${held} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
}

const OPCODES = [0, 1, 2, 2, 8, 9, 9, 10, 3, 15]

export function frame(random) {
  const payload = random.bytes(random.length(random.chance(0.02) ? 70_000 : 120))
  const first =
    (random.chance(0.9) ? 0x80 : 0) | (random.chance(0.03) ? 0x70 : 0) | random.one(OPCODES)
  const isMasked = random.chance(0.97)
  const claimed = random.chance(0.03) ? random.one([2 ** 31, 2 ** 40, 126, 65_536]) : payload.length
  const head = [first]
  if (claimed < 126) head.push((isMasked ? 0x80 : 0) | claimed)
  else if (claimed < 65_536) head.push((isMasked ? 0x80 : 0) | 126, claimed >> 8, claimed & 255)
  else {
    const long = Buffer.alloc(8)
    long.writeBigUInt64BE(BigInt(claimed))
    head.push((isMasked ? 0x80 : 0) | 127, ...long)
  }
  const mask = isMasked ? random.bytes(4) : Buffer.alloc(0)
  const body = isMasked ? payload.map((byte, i) => byte ^ mask[i % 4]) : payload
  return Buffer.concat([Buffer.from(head), mask, body])
}

function pathOf(random) {
  const paths = [`/${key(random)}`, `/dear/${random.below(4)}`, '/', '/list/*', '/_pivot/stream']
  return random.one(paths)
}
