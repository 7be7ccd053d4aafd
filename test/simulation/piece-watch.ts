/**
 * Sees that no piece of a value is sent again once the sender was told that it came, as long as the receiver
 * lives and has not used the value.
 */

interface Fields {
  readonly t: string
  readonly n?: number
  readonly at?: number
  readonly size?: number
}

/** A value that is offered, in one direction of one connection. */
interface Offered {
  readonly name: string
  readonly n: number | undefined
  readonly size: number
}

export class PieceWatch {
  readonly #fail: (error: Error) => void
  /** By connection, then by who sends. */
  readonly #offered = new WeakMap<object, Map<string, Offered>>()
  /** Up to where the other side was heard to hold a value, by direction, then by value. */
  readonly #held = new Map<string, Map<string, number>>()

  constructor(fail: (error: Error) => void) {
    this.#fail = fail
  }

  /** @returns whether it is a piece. */
  sent(from: string, to: string, text: string, connection: object): boolean {
    const message = pieceMessage(text)
    if (message?.t === 'offer') {
      const name = text.replace(/"n":\d+,/, '')
      const sides = this.#offered.get(connection) ?? new Map<string, Offered>()
      const { n, size = 0 } = message
      this.#offered.set(connection, sides.set(from, { name, n, size }))
    }
    if (message?.t !== 'piece') return false
    const { name = '' } = this.#offered.get(connection)?.get(from) ?? {}
    const held = this.#held.get(`${from}>${to}`)?.get(name) ?? 0
    if ((message.at ?? 0) < held) {
      const text = `of ${name}, of which ${held} had come`
      this.#fail(new Error(`${from} sent ${to} again the piece at ${message.at} ${text}`))
    }
    return true
  }

  arrived(from: string, to: string, text: string, connection: object): void {
    const message = pieceMessage(text)
    if (message === undefined) return
    if (message.t === 'got') {
      const offered = this.#offered.get(connection)?.get(to)
      if (offered === undefined || offered.n !== message.n) return
      const path = `${to}>${from}`
      const held = this.#held.get(path) ?? new Map<string, number>()
      const at = Math.max(held.get(offered.name) ?? 0, message.at ?? 0)
      // What is whole may be stored, and replaced, before its record is sent once more.
      if (at < offered.size) held.set(offered.name, at)
      else held.delete(offered.name)
      this.#held.set(path, held)
    } else if (message.t !== 'offer' && message.t !== 'piece') this.#held.delete(`${from}>${to}`)
  }

  /** What a process had in memory is gone with it. */
  gone(host: string): void {
    for (const path of this.#held.keys()) {
      if (path.split('>').includes(host)) this.#held.delete(path)
    }
  }
}

/** A message about pieces, or one that uses what came in pieces. */
function pieceMessage(text: string): Fields | undefined {
  const isOfPieces = /^\{"t":"(offer|piece|got)"/.test(text) || text.includes('"whole":[')
  return isOfPieces ? (JSON.parse(text) as Fields) : undefined
}
