import { WebSocket } from 'ws'
import { ProcessCluster } from '../test/support/process-cluster.ts'
import { waitFor } from '../test/support/wait.ts'
import { type Bench, type Measurement, measure } from './harness.ts'

const SUBSCRIBERS = 500
const ENTRIES = 1_000

/** One change, many subscribers of the same list. */
export const bench: Bench = {
  question: `How long until ${SUBSCRIBERS} subscribers of one list have all been sent a write?`,
  setting: `One node; a list of ${ENTRIES} entries of 250 bytes; ${SUBSCRIBERS} WebSocket subscribers in one process on the same machine, which count frames and do not apply them; timed from the request to the last subscriber's frame.`,
  async run() {
    const cluster = new ProcessCluster()
    const listeners = new Listeners()
    try {
      const node = await cluster.start({ name: 'leader' })
      for (let i = 0; i < ENTRIES; i += 1) {
        await node.post(`items/k${i}`, { text: 'x'.repeat(230), n: 0 })
      }
      await listeners.connect(`ws://127.0.0.1:${node.port}/items/*`)
      const lines: Measurement[] = []
      for (const [what, keyOf] of [
        ['an entry changed', (number: number) => `items/k${number % ENTRIES}`],
        ['an entry added', (number: number) => `items/new${number}`],
      ] as const) {
        const run = async (number: number): Promise<void> => {
          const all = listeners.nextFrameOfAll()
          await Promise.all([node.post(keyOf(number), { text: 'x'.repeat(230), n: number }), all])
        }
        lines.push(await measure({ what, warmUp: 20, samples: 200, run }))
      }
      if (listeners.lost > 0) throw new Error(`${listeners.lost} subscribers lost their stream`)
      return lines
    } finally {
      listeners.close()
      await cluster.cleanup()
    }
  },
}

class Listeners {
  lost = 0
  readonly #sockets: WebSocket[] = []
  #frames = 0
  #wake: () => void = () => undefined

  /** Resolves when each has its first snapshot. */
  async connect(url: string): Promise<void> {
    for (let i = 0; i < SUBSCRIBERS; i += 1) {
      const socket = new WebSocket(url)
      socket.on('message', () => {
        this.#frames += 1
        if (this.#frames === SUBSCRIBERS) this.#wake()
      })
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.lost += 1
      })
      this.#sockets.push(socket)
      await waitFor(() => this.#frames > i, { what: `snapshot ${i}`, intervalMs: 1 })
    }
  }

  /** Resolves when each has been sent one more frame. */
  nextFrameOfAll(): Promise<void> {
    this.#frames = 0
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  close(): void {
    for (const socket of this.#sockets) socket.terminate()
  }
}
