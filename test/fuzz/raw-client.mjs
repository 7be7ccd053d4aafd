/** Bare TCP connections, and just enough of HTTP/1.1 to know where an answer ends. */
import * as net from 'node:net'

export class RawClient {
  #socket
  #received = Buffer.alloc(0)
  #isClosed = false
  #wake = () => undefined

  static async connect(port) {
    const socket = net.connect({ port, host: '127.0.0.1' })
    const client = new RawClient(socket)
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return client
  }

  constructor(socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#isClosed = true
      this.#wake()
    })
    socket.on('data', (chunk) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
      this.#wake()
    })
  }

  get isClosed() {
    return this.#isClosed
  }

  send(bytes) {
    this.#socket.write(bytes)
  }

  /** From now on nothing is read. */
  stopReading() {
    this.#socket.pause()
  }

  destroy() {
    this.#socket.destroy()
  }

  /** Waits for what is received or the end, at most so long. @returns whether something came */
  async heard(timeoutMs) {
    if (this.#isClosed || this.#received.length > 0) return true
    let timer
    const isHeard = await new Promise((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs)
      this.#wake = () => resolve(true)
    })
    clearTimeout(timer)
    return isHeard
  }

  /** What has been received so far, which is then gone. */
  take() {
    const taken = this.#received
    this.#received = Buffer.alloc(0)
    return taken
  }

  /** The next answer; undefined when the connection ends before it. Rejects when it takes too long. */
  async answer(method, timeoutMs) {
    const endMs = performance.now() + timeoutMs
    for (;;) {
      const answer = parseAnswer(this.#received, method, this.#isClosed)
      if (answer !== undefined) {
        this.#received = this.#received.subarray(answer.length)
        return answer
      }
      if (this.#isClosed) return undefined
      const leftMs = endMs - performance.now()
      if (leftMs <= 0) throw new Error(`no answer within ${timeoutMs} ms`)
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, leftMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve(undefined)
        }
      })
    }
  }
}

function parseAnswer(bytes, method, isClosed) {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const head = bytes.subarray(0, headEnd).toString('latin1')
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
  const start = headEnd + 4
  const made = (end) => ({ status, head, body: bytes.subarray(start, end), length: end })
  if (method === 'HEAD' || status === 204 || status === 304 || status < 200) return made(start)
  const length = /^content-length: *(\d+)/im.exec(head)?.[1]
  if (length !== undefined) {
    const end = start + Number(length)
    return bytes.length >= end ? made(end) : undefined
  }
  if (/^transfer-encoding: *chunked/im.test(head)) {
    const end = bytes.indexOf('0\r\n\r\n', start)
    return end === -1 ? undefined : made(end + 5)
  }
  return isClosed ? made(bytes.length) : undefined
}
