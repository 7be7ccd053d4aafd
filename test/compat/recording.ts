/** What a follower and a leader of an earlier release said to one another, and the two of them played from it. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { SocketHandlers, Transport } from '../../src/core/ports/transport.ts'
import { decodeFollowerMessage, decodeLeaderMessage } from '../../src/core/wire/protocol.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { RawPeer } from '../cluster/raw-peer.ts'

export interface Said {
  readonly by: 'leader' | 'follower'
  readonly text: string
}

/** Any message, as far as the replay looks at it. */
export interface Message {
  readonly t: string
  readonly n?: number
  readonly seq?: number
  readonly through?: number
  readonly protocol?: number
  readonly clock?: string
  readonly set?: { readonly path: string }
  readonly records?: readonly (readonly unknown[])[]
  readonly last?: boolean
}

export const parse = (text: string): Message => JSON.parse(text) as Message

export class Recording {
  readonly lines: readonly Said[]

  /** @param folder of `test/fixtures`. */
  constructor(folder: string) {
    const file = fileURLToPath(new URL(`../fixtures/${folder}/stream.json`, import.meta.url))
    this.lines = JSON.parse(readFileSync(file, 'utf8')) as unknown as Said[]
  }

  said(by: Said['by']): Message[] {
    return this.lines.filter((line) => line.by === by).map(({ text }) => parse(text))
  }

  /** When it was made, nanoseconds. */
  get startNs(): bigint {
    return BigInt(this.said('leader').find(({ t }) => t === 'welcome')?.clock ?? 0)
  }

  /** What the leader had when the follower came, written as it was then. */
  async fillLeader(store: ReplicationStore): Promise<void> {
    for (const name of ['a', 'b', 'gone']) await store.set(`items/${name}`, `{"n":"${name}"}`)
    await store.set('settings', '{"exact":12345678901234567890.10}')
    await store.delete('items/gone')
    // Of records with fields the recording had those that another node had made.
    for (const { by, text } of this.lines) {
      if (by !== 'leader' || parse(text).t !== 'found') continue
      const message = decodeLeaderMessage(text)
      if (message.t !== 'found') continue
      const foreign = message.records.filter(({ fields }) => fields !== undefined)
      if (foreign.length > 0) await store.merge(foreign, { source: 'old' })
    }
  }

  /** What the follower had of its own: its place among the nodes. */
  async fillFollower(store: ReplicationStore): Promise<void> {
    for (const { by, text } of this.lines) {
      if (by !== 'follower' || !text.includes('"nodes/')) continue
      const message = decodeFollowerMessage(text)
      if (message.t === 'push') await store.merge(message.records, { source: 'old' })
    }
  }
}

function hasRecords(text: string): boolean {
  const { t, records = [] } = parse(text)
  return t === 'rows' && records.length > 0
}

/** Whether the leader has said what such a message is answered with. */
export function isAnswered(peer: RawPeer, { t, n }: Message): boolean {
  const answers: Readonly<Record<string, string>> = {
    hello: 'welcome',
    ask: 'digests',
    push: 'pushed',
    terms: 'terms',
  }
  const heard = peer.sent.map((line) => parse(line))
  if (t === 'want') return heard.some((line) => line.t === 'found' && line.n === n && line.last)
  const answer = answers[t]
  return (
    answer === undefined ||
    heard.some((line) => line.t === answer && (n === undefined || line.n === n))
  )
}

/** Answers a follower with what was recorded, by kind and by what is asked after. */
export class OldLeader {
  readonly heard: string[] = []
  readonly transport: Transport = {
    dial: (_request, opened, handlers) => {
      this.#handlers = handlers
      setImmediate(opened)
      return {
        bufferedBytes: 0,
        send: (text) => {
          this.heard.push(text)
          setImmediate(() => this.#answer(parse(text)))
        },
        close: () => undefined,
        terminate: () => undefined,
      }
    },
  }
  readonly #recording: Recording
  #handlers: SocketHandlers | undefined

  constructor(recording: Recording) {
    this.#recording = recording
  }

  /** The live changes of the recording. */
  sayRows(): void {
    for (const { by, text } of this.#recording.lines) {
      if (by === 'leader' && hasRecords(text)) this.#handlers?.message(text)
    }
  }

  #answer(message: Message): void {
    const { t, n, set } = message
    const { lines } = this.#recording
    const said = (by: Said['by']): Message[] => this.#recording.said(by)
    if (t === 'hello') {
      const first = lines.findIndex(({ by, text }) => by === 'follower' && parse(text).t === 'ack')
      for (const { by, text } of lines.slice(0, first)) {
        if (by === 'leader') this.#handlers?.message(text)
      }
    } else if (t === 'ask' || t === 'want') {
      const asked = said('follower').find((line) => line.t === t && line.set?.path === set?.path)
      const kind = t === 'ask' ? 'digests' : 'found'
      const answers = said('leader').filter((line) => line.t === kind && line.n === asked?.n)
      for (const answer of answers) this.#say({ ...answer, n })
    } else if (t === 'push') {
      const outcomes = (message.records ?? []).map(() => 'applied')
      this.#say({ t: 'pushed', n, outcomes, head: 6 })
    } else if (t === 'terms') {
      this.#say({ ...said('leader').find((line) => line.t === 'terms'), n })
    }
  }

  #say(message: object): void {
    this.#handlers?.message(JSON.stringify(message))
  }
}
