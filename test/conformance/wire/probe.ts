/** A subscriber that keeps every frame and applies patches digit for digit. */
import { once } from 'node:events'
import { type ClientOptions, WebSocket } from 'ws'
import { parseNodes } from '../../../src/core/json/json.ts'
import { applyExactly, canonicalText } from '../../quick/core/exact-apply.ts'
import { waitFor } from '../../support/wait.ts'
import { WireFailure } from './assert.ts'

export interface Frame {
  readonly isBinary: boolean
  readonly text: string
}

export interface WireEnvelope {
  readonly snapshot: boolean
  readonly version: string
  /** JSON text. */
  readonly data: string
}

export class Probe {
  readonly socket: WebSocket
  readonly frames: Frame[] = []
  closed: { readonly code: number } | undefined
  /** Canonical text of the state that the frames so far give. */
  state: string | undefined
  #fault: unknown

  private constructor(url: string, protocols: string[], options: ClientOptions) {
    this.socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options })
    this.socket.on('error', () => undefined)
    this.socket.on('close', (code) => {
      this.closed = { code }
    })
    this.socket.on('message', (data, isBinary) => {
      const text = String(data)
      this.frames.push({ isBinary, text })
      if (text.startsWith('{')) this.#apply(text)
    })
  }

  static async open(
    url: string,
    protocols: string[] = [],
    options: ClientOptions = {},
  ): Promise<Probe> {
    const probe = new Probe(url, protocols, options)
    await once(probe.socket, 'open')
    return probe
  }

  frame(index: number): Promise<Frame> {
    return waitFor(() => this.frames[index], { what: `frame ${index} of ${this.socket.url}` })
  }

  /** That frame as an envelope, its fields in any order; what it could not be applied to is a failure. */
  async envelope(index: number): Promise<WireEnvelope> {
    const { text } = await this.frame(index)
    if (this.#fault !== undefined) {
      throw new WireFailure(`frame does not apply: ${String(this.#fault)}`, { cause: this.#fault })
    }
    return envelopeOf(text)
  }

  close(): void {
    this.socket.terminate()
  }

  #apply(text: string): void {
    try {
      const { snapshot, data } = envelopeOf(text)
      this.state = snapshot ? canonicalText(data) : applyExactly(this.state ?? '', data)
    } catch (error) {
      this.#fault ??= error
    }
  }
}

function envelopeOf(text: string): WireEnvelope {
  const node = parseNodes(text)
  if (node.kind !== 'object') throw new WireFailure(`not an envelope: ${text}`)
  const raw = (name: string): string => node.members.get(name)?.raw ?? 'null'
  return {
    snapshot: raw('snapshot') === 'true',
    version: String(JSON.parse(raw('version'))),
    data: raw('data'),
  }
}
