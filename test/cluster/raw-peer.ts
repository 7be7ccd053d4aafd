/** The far end of a stream, played by a test: says what it likes, reads when it likes. */

import type { MessageSocket, SocketHandlers } from '../../src/core/ports/transport.ts'
import { STREAM_PROTOCOL } from '../../src/core/wire/protocol.ts'
import type { RigNode } from '../support/engine-rig.ts'

export class RawPeer implements MessageSocket {
  /** What the node under test sent, in order. */
  readonly sent: string[] = []
  closedWith: { readonly code: number; readonly reason: string } | undefined
  bufferedBytes = 0
  readonly #handlers: SocketHandlers | undefined
  #isOpen = true

  /** A stream to the leader `node`. */
  constructor(node: RigNode, address = '192.0.2.66') {
    this.#handlers = node.engine.accept(this, address)
  }

  /** Delivers a message to the node; objects as JSON. */
  say(message: unknown): void {
    if (!this.#isOpen) return
    this.#handlers?.message(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** The kinds of the messages that the node sent. */
  get heard(): string[] {
    return this.sent.map((text) => (JSON.parse(text) as { t: string }).t)
  }

  send(text: string): void {
    if (this.#isOpen) this.sent.push(text)
  }

  close(code: number, reason: string): void {
    this.closedWith ??= { code, reason }
    this.#end(code, reason)
  }

  terminate(): void {
    this.#end(1006, '')
  }

  /** The connection breaks. */
  cut(code = 1006, reason = ''): void {
    this.#end(code, reason)
  }

  #end(code: number, reason: string): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#handlers?.close({ code, reason })
  }
}

/** A follower's first message; `changes` replace fields of it. */
export function helloOf(changes: Readonly<Record<string, unknown>> = {}): object {
  return {
    t: 'hello',
    protocol: STREAM_PROTOCOL,
    id: 'stranger',
    name: 'stranger',
    scopes: ['items/*'],
    cursor: null,
    seen: null,
    base: null,
    ...changes,
  }
}
