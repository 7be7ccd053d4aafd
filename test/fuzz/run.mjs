/**
 * Sends a node whatever a client or a follower could: HTTP, WebSocket and stream messages, right and wrong, by
 * bare sockets. The node is a process of its own with a small heap. It must stay alive, answer a health check in
 * time throughout, never answer 500, hold no more memory at the end than at the start, and no record that a node
 * may not hold.
 *
 *   node test/fuzz/run.mjs [--inputs 3000] [--seconds 0] [--seed 1] [--heap 256]
 *
 * It ends after that many inputs, or that many seconds when they are given. Exit code 1 and the seed of the
 * run when the node did wrong.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { dearPatch, dearRequest, request, wrongRequest } from './http-inputs.mjs'
import { Random } from './random.mjs'
import { RawClient } from './raw-client.mjs'
import { frame, handshake } from './socket-inputs.mjs'
import { conversation, dearPush, streamHandshake } from './stream-inputs.mjs'

const MIB = 1024 * 1024
const CLIENTS = 12
/** Of every answer: the machine may be busy with much else. */
const ANSWER_MS = 60_000
/** What may remain in use once all connections have ended, beyond what an idle node uses. */
const MAX_KEPT_BYTES = 48 * MIB

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '3000' },
    seconds: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    heap: { type: 'string', default: '256' },
  },
})
const seed = Number(values.seed)
const endMs =
  Number(values.seconds) > 0 ? performance.now() + Number(values.seconds) * 1000 : Infinity
const maxInputs = Number.isFinite(endMs) ? Infinity : Number(values.inputs)

const directory = mkdtempSync(join(tmpdir(), 'ooo-fuzz-'))
const node = fork(join(import.meta.dirname, 'node.mjs'), [directory, String(16 * MIB)], {
  execArgv: ['--expose-gc', `--max-old-space-size=${values.heap}`],
  stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
})
let errors = ''
node.stderr.on('data', (text) => {
  errors = (errors + text).slice(-4000)
})
let hasEnded = false
const ended = once(node, 'exit').then(() => {
  hasEnded = true
})
const problems = []
const statuses = new Map()
const counts = { inputs: 0, requests: 0, wrong: 0, dear: 0, frames: 0, sockets: 0, unread: 0 }
/** Streams, messages on them, answers of the node by kind. */
const streams = { opened: 0, messages: 0, dear: 0, heard: {} }
let longestHealthMs = 0

const message = () =>
  new Promise((resolve, reject) => {
    node.once('message', resolve)
    ended.then(() => reject(new Error(`the node ended: ${errors}`)))
  })

/** @param question `memory` or `check` */
async function ask(question) {
  const told = message()
  node.send(question)
  return told
}

/** An ordinary visit: a few requests at once on one connection. */
async function visit(random, port) {
  const client = await RawClient.connect(port)
  for (let round = 1 + random.below(12); round > 0 && !client.isClosed; round--) {
    const sent = Array.from({ length: 1 + random.below(6) }, () => request(random))
    client.send(Buffer.concat(sent.map(({ bytes }) => bytes)))
    counts.inputs += sent.length
    counts.requests += sent.length
    if (!(await answers(client, sent))) break
  }
  client.destroy()
}

/** @returns false when the connection ended */
async function answers(client, sent) {
  for (const { method, bytes } of sent) {
    const answer = await client.answer(method, ANSWER_MS)
    if (answer === undefined) return false
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
    if (answer.status === 500 || Number.isNaN(answer.status)) {
      problems.push(`${answer.status} ${answer.body}: ${bytes.subarray(0, 300)}`)
    }
  }
  return true
}

async function wrong(random, port) {
  const client = await RawClient.connect(port)
  client.send(wrongRequest(random))
  counts.inputs++
  counts.wrong++
  await client.heard(random.below(20))
  client.destroy()
}

async function dear(random, port) {
  const client = await RawClient.connect(port)
  const path = `/dear/${random.below(4)}`
  const subscriber = await RawClient.connect(port)
  subscriber.send(handshake(random, path))
  if (random.chance(0.3)) subscriber.stopReading()
  for (const make of [dearRequest, dearPatch, dearPatch]) {
    const one = make(random, path)
    client.send(one.bytes)
    counts.inputs++
    counts.dear++
    if (!(await answers(client, [one]))) break
  }
  subscriber.destroy()
  client.destroy()
}

/** Asks for much and reads nothing of it. */
async function unread(random, port) {
  const client = await RawClient.connect(port)
  client.stopReading()
  const count = 1 + random.below(20)
  for (let i = 0; i < count; i++) {
    client.send(
      `GET ${random.one(['/dear/*', '/list/*', '/*/*'])} HTTP/1.1\r\nhost: localhost\r\n\r\n`,
    )
  }
  counts.inputs += count
  counts.unread += count
  await new Promise((resolve) => setTimeout(resolve, random.below(300)))
  client.destroy()
}

async function socket(random, port) {
  const client = await RawClient.connect(port)
  counts.sockets++
  counts.inputs++
  client.send(handshake(random))
  await client.heard(ANSWER_MS)
  if (client.take().toString('latin1').startsWith('HTTP/1.1 101')) {
    if (random.chance(0.2)) client.stopReading()
    const frames = Array.from({ length: 1 + random.below(30) }, () => frame(random))
    for (const one of frames) client.send(one)
    counts.inputs += frames.length
    counts.frames += frames.length
    await client.heard(random.below(50))
  }
  client.destroy()
}

/** A follower that talks sense and nonsense. */
async function stream(random, port) {
  const client = await RawClient.connect(port)
  client.send(streamHandshake(random))
  await client.heard(ANSWER_MS)
  const isOpen = client.take().toString('latin1').startsWith('HTTP/1.1 101')
  counts.inputs++
  if (isOpen) {
    streams.opened++
    if (random.chance(0.1)) client.stopReading()
    const isDear = random.chance(0.03)
    const said = isDear ? dearPush(random) : conversation(random)
    for (const one of said) client.send(one)
    counts.inputs += said.length
    streams.messages += said.length
    if (isDear) streams.dear++
    for (let waits = random.below(8); waits > 0 && !client.isClosed; waits--) {
      await client.heard(random.below(isDear ? 2000 : 300))
      note(client.take().toString('latin1'))
    }
  }
  client.destroy()
}

/** Which kinds of messages, and which refusals, the node answers a follower with. */
function note(text) {
  for (const [, kind] of text.matchAll(/\{"t":"([a-z]+)"/g)) {
    streams.heard[kind] = (streams.heard[kind] ?? 0) + 1
  }
  for (const [outcome] of text.matchAll(/applied|superseded|refused|drift|denied/g)) {
    streams.heard[outcome] = (streams.heard[outcome] ?? 0) + 1
  }
}

const KINDS = [
  ...[visit, visit, visit, visit, visit, visit, wrong, wrong, socket, socket, socket],
  ...[stream, stream, stream],
]

async function fuzz(random, port) {
  while (counts.inputs < maxInputs && performance.now() < endMs && !hasEnded) {
    const kind = random.chance(0.04) ? dear : random.chance(0.02) ? unread : random.one(KINDS)
    try {
      await kind(random, port)
    } catch (error) {
      if (hasEnded) return
      // Under a flood a connection may be refused by the system; the health check tells whether the node lives.
      if (error.code === undefined) problems.push(`${kind.name}: ${error.message}`)
    }
    if (problems.length > 20) return
  }
}

/** Empties the lists now and then, so that what is stored stays bounded. */
async function tend(port, isOver) {
  while (!isOver() && !hasEnded) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    try {
      const client = await RawClient.connect(port)
      const began = performance.now()
      client.send('GET /-/healthz HTTP/1.1\r\nhost: localhost\r\n\r\n')
      const answer = await client.answer('GET', ANSWER_MS)
      if (answer?.status !== 200) problems.push(`health: ${answer?.status}`)
      longestHealthMs = Math.max(longestHealthMs, performance.now() - began)
      for (const place of ['a', 'b', 'list', 'x-y_z.1', 'items']) {
        client.send(`DELETE /${place}/* HTTP/1.1\r\nhost: localhost\r\n\r\n`)
        await client.answer('DELETE', ANSWER_MS)
      }
      client.destroy()
    } catch (error) {
      if (!hasEnded) problems.push(`health: ${error.message}`)
    }
  }
}

try {
  const { url } = await message()
  const port = Number(new URL(url).port)
  const idle = await ask('memory')
  const began = performance.now()
  let isOver = false
  const tended = tend(port, () => isOver)
  await Promise.all(
    Array.from({ length: CLIENTS }, (_, i) => fuzz(new Random(seed * 1000 + i), port)),
  )
  isOver = true
  await tended
  const seconds = (performance.now() - began) / 1000
  if (hasEnded) throw new Error(`the node ended: ${errors}`)
  const held = await ask('check')
  for (const flaw of held.wrong) problems.push(`held: ${flaw}`)
  const after = await ask('memory')
  const kept = after.heapUsed - idle.heapUsed
  if (kept > MAX_KEPT_BYTES)
    problems.push(`${kept} bytes more of the heap are in use than at the start`)
  const mib = (bytes) => Math.round(bytes / MIB)
  console.log(
    JSON.stringify({
      ...{ seed, heapMiB: Number(values.heap), seconds: Math.round(seconds), ...counts },
      ...{ streams, records: held.count },
      statuses: Object.fromEntries([...statuses].sort(([a], [b]) => a - b)),
      longestHealthMs: Math.round(longestHealthMs),
      memoryMiB: {
        idle: mib(idle.heapUsed),
        after: mib(after.heapUsed),
        peakRss: mib(after.peakRss),
      },
      problems,
    }),
  )
} catch (error) {
  problems.push(error.message)
  console.log(JSON.stringify({ seed, ...counts, problems }))
} finally {
  if (node.connected) node.disconnect()
  const isGone = await Promise.race([
    ended.then(() => true),
    new Promise((r) => setTimeout(r, 20_000, false)),
  ])
  if (!isGone) node.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}
process.exit(problems.length === 0 ? 0 : 1)
