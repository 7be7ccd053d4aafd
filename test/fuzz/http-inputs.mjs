/** Requests, right and wrong, as the bytes that go over the line. */
import { backupLine, batch, broken, dearJson, json, key, patch } from './json-inputs.mjs'

const METHODS = [
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'PATCH',
  'DELETE',
  'HEAD',
  'OPTIONS',
  'PUT',
  'BREW',
]
const OWN = [
  '/',
  '/?api=storage',
  '/?api=keys',
  '/-/healthz',
  '/-/readyz',
  '/-/metrics',
  '/-/nothing',
  '/%00',
  '/api.js',
]

/** A request that is well formed as HTTP. */
export function request(random) {
  const method = random.one(METHODS)
  if (random.chance(0.03)) return restore(random)
  if (random.chance(0.08)) return build(random, 'POST', '/-/batch', bodyOf(random, batch(random)))
  const path = random.chance(0.1) ? random.one(OWN) : `/${key(random)}${query(random)}`
  if (method === 'POST') return build(random, method, path, bodyOf(random, json(random)))
  if (method === 'PATCH') return build(random, method, path, bodyOf(random, patch(random)))
  return build(random, method, path, random.chance(0.05) ? json(random) : undefined)
}

/** Lines of a backup, to be merged into the running node. */
function restore(random) {
  const lines = Array.from({ length: random.length(60) }, () => bodyOf(random, backupLine(random)))
  return build(random, 'POST', '/-/restore', lines.join('\n'), 'application/x-ndjson')
}

/** A request whose body is dear: to be sent alone, as it takes its time. */
export function dearRequest(random, path) {
  return build(random, random.one(['POST', 'POST', 'PATCH']), path, dearJson(random))
}

/** A small change of what dear requests have left. */
export function dearPatch(random, path) {
  const body = random.one(['{"0":{"q":1}}', '{"a":{"a":1}}', '{}', '{"k0":1}', '[]', '1'])
  return build(random, 'PATCH', path, body)
}

/** Bytes that are no request, or one with something wrong in it. */
export function wrongRequest(random) {
  const { bytes } = request(random)
  switch (random.below(6)) {
    case 0:
      return random.bytes(random.length(2000))
    case 1:
      return bytes.subarray(0, random.below(bytes.length))
    case 2: {
      const changed = Buffer.from(bytes)
      for (let i = 0; i < 3; i++) changed[random.below(changed.length)] = random.below(256)
      return changed
    }
    case 3:
      return Buffer.from(`GET /${'a'.repeat(random.length(100_000))} HTTP/1.1\r\nhost: x\r\n\r\n`)
    case 4: {
      const headers = Array.from({ length: random.length(3000) }, (_, i) => `x${i}: ${i}\r\n`).join(
        '',
      )
      return Buffer.from(`GET /a HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n`)
    }
    default: {
      const chunk = `${random.one(['5', 'ffffffff', '-1', 'zz', '0'])}\r\nabcde\r\n`
      return Buffer.from(
        `POST /a/1 HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n${chunk.repeat(random.below(5))}`,
      )
    }
  }
}

function bodyOf(random, text) {
  return random.chance(0.15) ? broken(random, text) : text
}

function query(random) {
  if (random.chance(0.7)) return ''
  const parameter = () => {
    const name = random.one([
      'limit',
      'order',
      'from',
      'to',
      'v',
      'ack',
      'ackTimeoutMs',
      'durability',
    ])
    const value = random.one([
      '1',
      '-1',
      '10',
      'x',
      'newest',
      'oldest',
      '99999999999999999999',
      'local',
      '%zz',
      '',
    ])
    return `${name}=${value}`
  }
  return `?${Array.from({ length: 1 + random.below(3) }, parameter).join('&')}`
}

function build(random, method, path, body, type = 'application/json') {
  const headers = ['host: localhost']
  if (random.chance(0.1))
    headers.push(random.one(['accept-encoding: gzip', 'accept-encoding: br;q=0, *']))
  if (random.chance(0.05))
    headers.push(random.one(['if-match: *', 'if-match: "1"', 'if-none-match: *', 'if-match: x']))
  if (random.chance(0.02))
    headers.push(random.one(['origin: http://evil.example', 'origin: null', 'host: other']))
  const bytes = Buffer.from(body ?? '')
  if (body !== undefined) headers.push(`content-length: ${bytes.length}`, `content-type: ${type}`)
  return {
    method,
    bytes: Buffer.concat([
      Buffer.from(`${method} ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`),
      bytes,
    ]),
  }
}
