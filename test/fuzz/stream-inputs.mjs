/** What a follower says on its stream, right and wrong, as WebSocket messages. */
import { broken, dearJson, json } from './json-inputs.mjs'

const STAMP = '1767225600000000000'
const SET = { path: 'items/*', except: [] }
const EMPTY_MASK = Buffer.alloc(4)

/** A handshake for a stream. */
export function streamHandshake(random) {
  const headers = [
    ...['host: localhost', 'upgrade: websocket', 'connection: Upgrade'],
    ...['sec-websocket-version: 13', `sec-websocket-key: ${random.bytes(16).toString('base64')}`],
    ...(random.chance(0.03) ? ['x-ooo-cluster-token: guess'] : []),
  ]
  return Buffer.from(`GET /_pivot/stream HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
}

/** Some messages in an order that is right as a rule. */
export function conversation(random) {
  const count = 1 + random.below(12)
  // Half of them only push, so that they get far.
  const isPlain = random.chance(0.5)
  let pushes = 0
  const said = Array.from({ length: count }, (_, i) => {
    return isPlain ? push(random, ++pushes) : message(random, i + 1)
  })
  if (random.chance(0.95)) said.unshift(hello(random))
  return said.map((fields) => {
    const text = JSON.stringify(fields)
    return textMessage(random.chance(0.03) ? broken(random, text) : text)
  })
}

/** A push whose records are dear to take. */
export function dearPush(random) {
  const records = [
    ...[goodRecord(random), goodRecord(random)],
    [`items/dear${random.below(3)}`, `f${random.below(1e9)}`, stampNow(), '0', dearJson(random)],
  ]
  return [hello(random, 1), { t: 'push', n: 1, records }].map((fields) => {
    return textMessage(JSON.stringify(fields))
  })
}

/** One unfragmented text message (RFC 6455, section 5.2). */
export function textMessage(text) {
  const payload = Buffer.from(text)
  const head = Buffer.alloc(payload.length < 65_536 ? 4 : 10)
  head[0] = 0x81
  if (payload.length < 126)
    return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), EMPTY_MASK, payload])
  head[1] = 0x80 | (payload.length < 65_536 ? 126 : 127)
  if (payload.length < 65_536) head.writeUInt16BE(payload.length, 2)
  else head.writeBigUInt64BE(BigInt(payload.length), 2)
  return Buffer.concat([head, EMPTY_MASK, payload])
}

/** @param whole how probable it is that nothing is wrong in it */
function hello(random, whole = 0.9) {
  const id = `f${random.below(40)}`
  const fields = {
    ...{ t: 'hello', protocol: 3, id, name: id, scopes: ['items/*'] },
    ...{ cursor: null, seen: null, base: null },
  }
  return random.chance(whole) ? fields : spoiled(random, fields)
}

function message(random, n) {
  const made = random.one(MESSAGES)(random, n)
  return random.chance(0.95) ? made : spoiled(random, made)
}

const MESSAGES = [
  push,
  push,
  push,
  push,
  push,
  (random) => ({ t: 'ack', seq: random.below(50), complete: random.chance(0.5) }),
  (_random, n) => ({ t: 'terms', n }),
  (random, n) => ({
    t: 'ask',
    n,
    set: SET,
    nodes: [random.one(['', '0', 'a3f', 'zz', '0'.repeat(40)])],
  }),
  (random, n) => ({ t: 'want', n, set: SET, nodes: ['0'], after: 0, parts: random.below(4) }),
  (random, n) => ({ t: 'have', n, hashes: '0123456789abcdef'.repeat(random.length(300)) }),
  (random, n) => ({ t: 'taken', n, part: random.below(4) }),
  (random, n) => ({ t: 'feed', n, after: random.below(9) }),
  (random, n) => ({ t: 'vote', n, term: random.below(9) }),
  offer,
  (random, n) => ({ t: 'piece', n, at: random.below(9), data: 'x'.repeat(random.length(200_000)) }),
  (random, n) => ({ t: 'got', n, at: random.below(9) }),
]

function push(random, n) {
  // One wrong record ends the stream: most pushes have none, so that what is behind them is reached.
  const isWhole = random.chance(0.8)
  const records = Array.from({ length: random.length(40) }, () => {
    return isWhole ? goodRecord(random) : record(random)
  })
  const list = () => Array.from({ length: random.below(4) }, () => random.below(records.length + 1))
  return {
    ...{ t: 'push', n, records },
    ...(random.chance(0.1) ? { lost: list() } : {}),
    ...(random.chance(0.1) ? { withheld: list() } : {}),
    ...(random.chance(0.1) ? { whole: list() } : {}),
    ...(random.chance(0.1) ? { seen: records.map(() => random.one([null, 'f1:5', '', 'x'])) } : {}),
  }
}

function offer(random, n) {
  const size = random.one([0, 10, 300_000, 2 ** 27, -1])
  const hash = random.one(['0123456789abcdef', 'xyz', ''])
  return { t: 'offer', n, key: keyOf(random), version: stampOf(random), origin: 'f1', size, hash }
}

function goodRecord(random) {
  const name = [`items/${random.below(30)}`, `f${random.below(40)}`]
  const stamp = random.one([stampNow(), STAMP, '5', '4900000000000000000'])
  const marks = random.chance(0.1) ? [{ marks: `${STAMP}@f${random.below(9)}` }] : []
  if (random.chance(0.2)) return [...name, stamp]
  return [...name, stamp, random.one(['0', stampNow()]), json(random), ...marks]
}

function record(random) {
  const parts = [keyOf(random), originOf(random), stampOf(random)]
  if (random.chance(0.8)) parts.push(random.chance(0.8) ? '0' : stampOf(random), dataOf(random))
  if (random.chance(0.2)) parts.push(fieldsOf(random))
  if (random.chance(0.01)) parts.splice(random.below(parts.length), 1)
  return parts
}

function stampNow() {
  return String(BigInt(Date.now()) * 1_000_000n)
}

function keyOf(random) {
  if (random.chance(0.9)) return `items/${random.below(30)}`
  return random.one([
    ...[
      'items/*',
      'items//a',
      '',
      '/',
      'items/a/',
      'elsewhere/1',
      7,
      null,
      'items/\u0000',
      'items/é',
    ],
    ...[`items/${'k'.repeat(1100)}`, `items/${'s/'.repeat(40)}s`, '__proto__'],
  ])
}

function originOf(random) {
  if (random.chance(0.93)) return `f${random.below(40)}`
  return random.one(['', 'my.app', 'a b', 'a\nb', 'o'.repeat(65), 'o'.repeat(2000), 5, null])
}

function stampOf(random) {
  if (random.chance(0.5)) return stampNow()
  if (random.chance(0.8)) return STAMP
  return random.one([
    '0',
    '-1',
    '',
    'now',
    '9'.repeat(19),
    '9'.repeat(400),
    '1e18',
    '1.5',
    17,
    null,
  ])
}

function dataOf(random) {
  if (random.chance(0.85)) return json(random)
  if (random.chance(0.5)) return broken(random, json(random))
  return random.one([
    ...['', ' ', '{"a": 1}', '{\n}', '"\ud800"', '\ufeff1', '1,2', 'undefined', 5, null],
    ...['['.repeat(513) + ']'.repeat(513), '['.repeat(5000), '{"a":'.repeat(900)],
  ])
}

function fieldsOf(random) {
  return random.one([
    ...[{}, [], null, { marks: 'x' }, { marks: '' }, { marks: `+${STAMP}@f1` }, { Wrong: '1' }],
    ...[{ by: 5 }, { __proto: '1' }, { by: 'x'.repeat(100_000) }, JSON.parse('{"__proto__":"1"}')],
    Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, 'x'])),
  ])
}

const ODD = [
  null,
  true,
  -1,
  0.5,
  2 ** 53,
  '',
  '0',
  '9'.repeat(400),
  [],
  [[]],
  {},
  '\u0000',
  'x'.repeat(70_000),
]

/** The message with one of its fields gone, or something else. */
function spoiled(random, fields) {
  const copy = { ...fields }
  const name = random.one(Object.keys(copy))
  if (random.chance(0.2)) delete copy[name]
  else copy[name] = random.one(ODD)
  return copy
}
