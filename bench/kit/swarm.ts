/**
 * The subscribers, in a process of their own: thousands of bare TCP sockets that all read into one
 * buffer. Its handlers are called through `child.ts`; `swarm-link.ts` has their types.
 */
import { createConnection, type Socket } from 'node:net'
import type { Handlers } from './child.ts'
import { DIALECTS, type Dialect } from './dialect.ts'
import { parseExactly, sameState } from './fold.ts'
import { BINARY, CLOSE, FrameReader, PING, PONG, TEXT } from './frame-reader.ts'
import { monotonicUs, type Schedule } from './monotonic.ts'
import { type Receipts, StreamPool } from './stream-pool.ts'
import type { CheckResult, Room, Settled } from './swarm-link.ts'

/** Handshakes under way at once. */
const JOINING = 100
const JOIN_DEADLINE_MS = 60_000
const CHUNK_BYTES = 256 * 1024

interface Crowd {
  readonly room: Room
  readonly dialect: Dialect
  readonly pool: StreamPool
  readonly sockets: Socket[]
}

const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
const crowds: Crowd[] = []
const stuck: Socket[] = []
const problems: string[] = []
/** Connections that ended though nobody asked for it. */
let lost = 0
let leaving = false

function problem(what: string): void {
  if (problems.length < 10) problems.push(what)
}

/** Opens the subscriptions of a room; resolves when each has its first data. */
async function join(room: Room): Promise<void> {
  leaving = false
  const dialect = DIALECTS[room.dialect]
  const crowd: Crowd = { room, dialect, pool: new StreamPool(dialect), sockets: [] }
  crowds.push(crowd)
  let left = room.subscribers
  const next = async (): Promise<void> => {
    while (left > 0) {
      left--
      await open(crowd)
    }
  }
  await Promise.all(Array.from({ length: Math.min(JOINING, left) }, next))
}

/** Opens one subscription; resolves with its first data. */
function open({ room, dialect, pool, sockets }: Crowd): Promise<void> {
  const place = pool.join()
  return new Promise((resolve, reject) => {
    const late = new Error(`no first data of ${room.key}`)
    const deadline = setTimeout(() => reject(late), JOIN_DEADLINE_MS)
    let isWaiting = true
    const onData = (bytes: Buffer, from: number, to: number): void => {
      pool.receive(place, bytes, from, to, monotonicUs())
      if (!isWaiting) return
      isWaiting = false
      clearTimeout(deadline)
      resolve()
    }
    const socket = connect(room, dialect, onData)
    sockets.push(socket)
  })
}

type OnData = (bytes: Buffer, from: number, to: number) => void

/** A socket that reads into the one buffer of all, and does what a subscriber must do to stay one. */
function connect(room: Room, dialect: Dialect, onData: OnData): Socket {
  const reader = new FrameReader({
    onUpgrade: (head) => {
      if (!head.startsWith('HTTP/1.1 101')) problem(`refused: ${head.slice(0, 100)}`)
      else if (dialect.hello !== undefined) socket.write(clientFrame(TEXT, dialect.hello))
    },
    onFrame: (opcode, bytes, from, to) => {
      const isMessage = opcode === BINARY || opcode === TEXT
      if (isMessage && dialect.isData(bytes, from, to)) onData(bytes, from, to)
      else answer(socket, opcode, bytes.subarray(from, to), dialect)
    },
    onProblem: problem,
  })
  const callback = (length: number): boolean => {
    reader.read(chunk, length)
    return true
  }
  const target = { host: '127.0.0.1', port: room.port, onread: { buffer: chunk, callback } }
  const socket = createConnection(target, () => socket.write(handshake(room, dialect)))
  socket.setNoDelay(true)
  socket.on('error', (error) => problem(error.message))
  socket.on('close', () => {
    if (!leaving) lost++
  })
  return socket
}

function answer(socket: Socket, opcode: number, payload: Buffer, dialect: Dialect): void {
  if (opcode === PING) socket.write(clientFrame(PONG, payload.toString('latin1')))
  else if (opcode === CLOSE) problem(`closed: ${payload.toString('utf8', 2)}`)
  else if (opcode === TEXT) {
    const reply = dialect.reply(payload.toString('latin1', 0, 16))
    if (reply !== undefined) socket.write(clientFrame(TEXT, reply))
  }
}

/** Subscribes and never reads: what it is sent piles up at the server. */
function joinStuck({ port, key, dialect }: Room): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () => {
      socket.write(handshake({ port, key }, DIALECTS[dialect]), () => resolve())
    })
    socket.pause()
    socket.on('error', reject)
    stuck.push(socket)
  })
}

function handshake({ port, key }: Pick<Room, 'port' | 'key'>, dialect: Dialect): string {
  const lines = [
    `GET ${dialect.path(key)} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==',
    'Sec-WebSocket-Version: 13',
  ]
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** A short frame of a client: masked, as it must be, with a mask of zeros. */
function clientFrame(opcode: number, text: string): Buffer {
  const head = Buffer.from([0x80 | opcode, 0x80 | Buffer.byteLength(text), 0, 0, 0, 0])
  return Buffer.concat([head, Buffer.from(text)])
}

/** Waits until all have every write of the run, or the deadline passes. */
async function settle({ deadlineMs }: { deadlineMs: number }): Promise<Settled> {
  const end = monotonicUs() + deadlineMs * 1000
  while (monotonicUs() < end && crowds.some(({ pool }) => !pool.complete)) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const now = monotonicUs()
  const receipts: Receipts[] = crowds.map(({ pool }) => pool.receipts(now))
  return { receipts, lost, problems }
}

/** Compares what every subscriber holds with what the server answers to a GET. */
async function check(): Promise<CheckResult> {
  let checked = 0
  let different = 0
  let apart = 0
  for (const { room, pool } of crowds) {
    const answer = await fetch(`http://127.0.0.1:${room.port}/${room.key}`)
    const expected = parseExactly(await answer.text())
    for (const { state, holders } of pool.states()) {
      checked += holders
      if (!sameState(state, expected)) different += holders
    }
    apart += pool.places.filter(({ own }) => own !== undefined).length
  }
  return { checked, different, apart }
}

async function leave(): Promise<void> {
  leaving = true
  for (const { sockets } of crowds.splice(0)) for (const socket of sockets) socket.destroy()
  for (const socket of stuck.splice(0)) socket.destroy()
  lost = 0
  problems.length = 0
}

function expect(schedule: Schedule): void {
  for (const { pool } of crowds) pool.expect(schedule)
}

export const handlers: Handlers = { join, joinStuck, expect, settle, check, leave }
