/**
 * Lets one node of each id in: a data folder that was copied makes two, which would count as one, and hide
 * each other. Drives `incarnation/line.ts` over the streams of a leader, remembers the lines on disk, and tells
 * what it refuses. The first that connected stays; the other one hears both addresses.
 *
 * What is remembered may be older than what was let in, after a crash or a restore: then a clone is noticed
 * later, and no honest node is refused.
 */
import { errorText } from '../../src/core/errors.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { Hello } from '../../src/core/wire/protocol.ts'
import { incarnationsOf } from '../../src/store/recovery/incarnations.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import { placeOf, refusalText } from '../members/clone-text.ts'
import { type IncarnationLine, judgeIncarnation } from './line.ts'

/** A node that is refused because it runs from a copy of another one's data. */
export interface CloneReport {
  readonly id: string
  /** Display name of the one that is refused. */
  readonly name: string
  /** Where the one is that is refused. */
  readonly at: string
  /** Where the one is that was let in, as last known. */
  readonly other: string
  /** When it was last refused, milliseconds since the Unix epoch. */
  readonly atMs: number
}

/** A connection that was let in. */
export interface Entrance {
  left(): void
}

/** A stream as the guard sees it. */
export interface GuardedStream {
  /** Remote address. */
  readonly address: string
  /** Ends the stream: a later incarnation of its node has connected. */
  end(reason: string): void
}

export interface CloneGuardOptions {
  /** Open. */
  readonly store: Pick<ReplicationStore, 'id' | 'meta' | 'saveMeta'>
  /** Where others reach this node, as a URL; undefined: not known. */
  readonly url: string | undefined
  /** This node's time, milliseconds since the Unix epoch. */
  readonly nowMs: () => number
  readonly logger: Logger
}

/** As it is kept. */
interface KnownNode extends IncarnationLine {
  readonly id: string
  /** Where it was when it was last let in. */
  readonly at: string
}

interface Connection {
  readonly incarnation: string
  readonly stream: GuardedStream
}

const ROW = 'incarnations-of-followers'
/** Beyond this, those that were let in longest ago are forgotten. */
const MAX_NODES = 1000
/** Refusals that are shown. */
const MAX_CLONES = 100
/** A clone that has not come back for so long is told of no more, milliseconds. */
const TOLD_MS = 600_000

export class CloneGuard {
  readonly #options: CloneGuardOptions
  /** By id, the one that was let in longest ago first. */
  readonly #nodes = new Map<string, KnownNode>()
  readonly #connections = new Map<string, Set<Connection>>()
  /** By incarnation, the one that was refused longest ago first. */
  readonly #clones = new Map<string, CloneReport>()
  #isChanged = false
  #saving: Promise<void> | undefined

  /** Reads what is on disk. */
  constructor(options: CloneGuardOptions) {
    this.#options = options
    const text = options.store.meta(ROW)
    for (const node of text === undefined ? [] : (JSON.parse(text) as KnownNode[])) {
      this.#nodes.set(node.id, node)
    }
  }

  /**
   * A stream has said who it is.
   * @returns undefined: it may come in, and does not tell its incarnation; a text: why it is refused.
   */
  enter(hello: Hello, stream: GuardedStream): Entrance | string | undefined {
    const { id, incarnations = [] } = hello
    const [own] = incarnations
    if (own === undefined) return undefined
    const { store, url } = this.#options
    if (id === store.id) {
      if (own === incarnationsOf(store)[0]) return undefined
      return this.#refuse(hello, own, stream, url === undefined ? 'this node' : placeOf(url, ''))
    }
    const known = this.#nodes.get(id)
    const connections = this.#connections.get(id) ?? new Set()
    const newest = [...connections].find(({ incarnation }) => incarnation === known?.chain[0])
    const verdict = judgeIncarnation(known, incarnations, newest !== undefined)
    if (verdict.kind === 'clone' || verdict.kind === 'occupied') {
      return this.#refuse(hello, own, stream, known?.at ?? '')
    }
    this.#clones.delete(own)
    if (verdict.kind === 'next') {
      this.#keep({ ...verdict.line, id, at: placeOf(hello.url, stream.address) })
      const over = [...connections].filter(({ incarnation }) => incarnation !== own)
      for (const before of over) before.stream.end('the node was started again')
    }
    return this.#connected(id, { incarnation: own, stream })
  }

  /** What is refused, the latest last. */
  clones(): CloneReport[] {
    const since = this.#options.nowMs() - TOLD_MS
    return [...this.#clones.values()].filter(({ atMs }) => atMs >= since)
  }

  /** Lets in whatever comes next under this id, as if it had never been here. Not while it is connected. */
  forget(id: string): void {
    if (!this.#nodes.delete(id)) return
    this.#isChanged = true
    this.#saving ??= this.#save()
  }

  /** Waits for what is being noted. */
  async stop(): Promise<void> {
    await this.#saving
  }

  #connected(id: string, connection: Connection): Entrance {
    const connections = this.#connections.get(id) ?? new Set<Connection>()
    this.#connections.set(id, connections.add(connection))
    return {
      left: () => {
        connections.delete(connection)
        if (connections.size === 0 && this.#connections.get(id) === connections) {
          this.#connections.delete(id)
        }
      },
    }
  }

  #refuse({ id, name, url }: Hello, own: string, stream: GuardedStream, other: string): string {
    const { logger, nowMs } = this.#options
    const at = placeOf(url, stream.address)
    const isNews = !this.clones().some((clone) => clone.id === id && clone.at === at)
    this.#clones.delete(own)
    this.#clones.set(own, { id, name, at, other, atMs: nowMs() })
    for (const oldest of this.#clones.keys()) {
      if (this.#clones.size <= MAX_CLONES) break
      this.#clones.delete(oldest)
    }
    if (isNews) {
      logger.warn('two nodes run from copies of one data folder: the second is refused', {
        ...{ id, name, refused: at, other },
      })
    }
    return refusalText(at, other)
  }

  #keep(node: KnownNode): void {
    this.#nodes.delete(node.id)
    this.#nodes.set(node.id, node)
    for (const oldest of this.#nodes.keys()) {
      if (this.#nodes.size <= MAX_NODES) break
      this.#nodes.delete(oldest)
    }
    this.#isChanged = true
    this.#saving ??= this.#save()
  }

  async #save(): Promise<void> {
    try {
      while (this.#isChanged) {
        this.#isChanged = false
        const nodes = JSON.stringify([...this.#nodes.values()])
        await this.#options.store.saveMeta(new Map([[ROW, nodes]]))
      }
    } catch (error) {
      // Noted with the next one; until then a restart of this node forgets it.
      this.#options.logger.warn('what is known of the followers could not be noted', {
        error: errorText(error),
      })
    } finally {
      this.#saving = undefined
    }
  }
}
