/** What differs between the servers that a swarm can subscribe to. */
import { foldEnvelope } from './fold.ts'

/** `ooo`: the wire of this project. `socket.io`: Engine.IO 4 over a WebSocket. */
export type DialectName = 'ooo' | 'socket.io'

export interface Dialect {
  /** Path of the handshake for a key. */
  path(key: string): string
  /** Text to send right after the handshake, if any. */
  readonly hello: string | undefined
  /** Text to answer a text frame with, if it wants an answer. */
  reply(text: string): string | undefined
  /** Whether the payload from `from` on tells of data; other frames only keep the connection. */
  isData(bytes: Buffer, from: number, to: number): boolean
  /** The state after a data frame, given the one before it, which may be changed. */
  fold(state: unknown, text: string): unknown
}

export const DIALECTS: Readonly<Record<DialectName, Dialect>> = {
  ooo: {
    path: (key) => `/${key}`,
    hello: undefined,
    reply: () => undefined,
    isData: () => true,
    fold: foldEnvelope,
  },
  'socket.io': {
    path: () => '/socket.io/?EIO=4&transport=websocket',
    hello: '40',
    reply: (text) => (text === '2' ? '3' : undefined),
    // "42" begins an event; every event carries the whole value.
    isData: (bytes, from) => bytes[from] === 0x34 && bytes[from + 1] === 0x32,
    fold: (_state, text) => (JSON.parse(text.slice(2)) as unknown[])[1],
  },
}
