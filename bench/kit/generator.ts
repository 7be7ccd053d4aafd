/**
 * The writers, in a process of their own. Open loop: a write is sent at its intended time, however many
 * before it are unanswered, so that a server that stalls is not spared the writes of that time ("How NOT to
 * measure latency", Gil Tene). Each write goes out on the first connection that is idle, so writes
 * reach the server in order as long as it keeps up.
 */
import { createConnection, type Socket } from 'node:net'
import type { Handlers } from './child.ts'
import type { Generated, Load } from './generator-link.ts'
import { Histogram } from './histogram.ts'
import { intendedUs, monotonicUs } from './monotonic.ts'

const MAX_CONNECTIONS = 256
/** Sleep in the event loop until this long before a write is due; from there on block, which wakes on time. */
const BLOCKING_MS = 1.5
/** Keys take turns in steps of this prime, so that neighbours in a list do not. */
const KEY_STEP = 7919

const cell = new Int32Array(new SharedArrayBuffer(4))

/** Sends the writes of a load at their times; resolves when all are answered, or given up. */
async function run(load: Load): Promise<Generated> {
  const { schedule, deadlineMs } = load
  const writers = new Writers(load)
  const end = schedule.firstNumber + schedule.count
  let next = schedule.firstNumber
  while (next < end) {
    const leftMs = (intendedUs(schedule, next) - monotonicUs()) / 1000
    if (leftMs <= 0) {
      writers.send(next)
      next++
    } else if (leftMs > BLOCKING_MS + 1) {
      await new Promise((resolve) => setTimeout(resolve, leftMs - BLOCKING_MS))
    } else {
      await new Promise((resolve) => setImmediate(resolve))
      const restMs = (intendedUs(schedule, next) - monotonicUs()) / 1000
      if (restMs > 0) Atomics.wait(cell, 0, 0, restMs)
    }
  }
  return writers.finish(deadlineMs)
}

interface Writer {
  readonly socket: Socket
  /** The write it waits for the answer of; undefined: it is idle. */
  pending: number | undefined
  received: string
}

class Writers {
  readonly #load: Load
  readonly #writers: Writer[] = []
  readonly #queue: number[] = []
  readonly #late = new Histogram()
  readonly #answered = new Histogram()
  readonly #connections: number
  #pending = 0
  #answeredUs = 0
  #failed = 0
  #problem: string | undefined

  constructor(load: Load) {
    this.#load = load
    this.#connections = load.connections ?? MAX_CONNECTIONS
  }

  send(number: number): void {
    this.#late.record(monotonicUs() - intendedUs(this.#load.schedule, number))
    this.#pending++
    const idle = this.#writers.find(({ pending }) => pending === undefined)
    if (idle !== undefined) this.#write(idle, number)
    else if (this.#writers.length < this.#connections) this.#write(this.#open(), number)
    else this.#queue.push(number)
  }

  async finish(deadlineMs: number): Promise<Generated> {
    const end = monotonicUs() + deadlineMs * 1000
    while (this.#pending > 0 && monotonicUs() < end) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const connections = this.#writers.length
    for (const { socket } of this.#writers) socket.destroy()
    const late = this.#late.toJSON()
    const answered = this.#answered.toJSON()
    const seconds = (this.#answeredUs - this.#load.schedule.startUs) / 1e6
    const counts = { failed: this.#failed, unanswered: this.#pending, connections }
    return { late, answered, ...counts, seconds, problem: this.#problem }
  }

  #open(): Writer {
    const socket = createConnection({ host: '127.0.0.1', port: this.#load.port })
    const writer: Writer = { socket, pending: undefined, received: '' }
    socket.setNoDelay(true)
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#receive(writer, text))
    socket.on('error', (error) => this.#fail(error.message))
    socket.on('close', () => {
      this.#writers.splice(this.#writers.indexOf(writer), 1)
      if (writer.pending !== undefined) this.#pending--
    })
    this.#writers.push(writer)
    return writer
  }

  #write(writer: Writer, number: number): void {
    writer.pending = number
    const { port, batch = 1 } = this.#load
    const path = batch === 1 ? this.#keyOf(number) : '-/batch'
    const body = batch === 1 ? this.#valueOf(number) : this.#batchOf(number, batch)
    const head = `POST /${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json`
    writer.socket.write(`${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  }

  #keyOf(number: number): string {
    const { key, keys } = this.#load
    return keys === 0 ? key : `${key}${(number * KEY_STEP) % keys}`
  }

  #valueOf(number: number): string {
    const { schedule, padding } = this.#load
    const t = Math.round(intendedUs(schedule, number) * 1000)
    return `{"t":"${t}","n":${number},"text":"${'x'.repeat(padding)}"}`
  }

  #batchOf(number: number, count: number): string {
    const operations = Array.from({ length: count }, (_, i) => {
      const path = this.#keyOf(number * count + i)
      return `{"op":"set","path":"${path}","data":${this.#valueOf(number)}}`
    })
    return `{"operations":[${operations.join(',')}]}`
  }

  #receive(writer: Writer, text: string): void {
    writer.received += text
    const end = writer.received.indexOf('\r\n\r\n')
    if (end === -1) return
    const length = /\r\ncontent-length: *(\d+)/i.exec(writer.received.slice(0, end + 2))?.[1]
    if (length === undefined) {
      this.#fail(`an answer without a length: ${writer.received.slice(0, end)}`)
      writer.socket.destroy()
      return
    }
    if (writer.received.length < end + 4 + Number(length)) return
    const { pending, received } = writer
    writer.received = received.slice(end + 4 + Number(length))
    writer.pending = undefined
    this.#pending--
    this.#answeredUs = monotonicUs()
    if (pending !== undefined) {
      this.#answered.record(this.#answeredUs - intendedUs(this.#load.schedule, pending))
    }
    if (!received.startsWith('HTTP/1.1 200')) this.#fail(received.slice(0, 200))
    const queued = this.#queue.shift()
    if (queued !== undefined) this.#write(writer, queued)
  }

  #fail(problem: string): void {
    this.#failed++
    this.#problem ??= problem
  }
}

export const handlers: Handlers = { run }
