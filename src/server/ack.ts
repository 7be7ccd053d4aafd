/**
 * Where a write has to be before it is answered: `?ack=local|leader|<n>` and `?ackTimeoutMs=`.
 *
 * - `local`, the default: durable at this node.
 * - `leader`: merged by the leader of its key, which on that node is at once.
 * - a number: durable at so many other nodes, counting the leader and the followers of that leader. Nodes
 *   further down, that follow a follower, do not count.
 *
 * A write is made before it is waited for: when the time is up it is kept, and goes on to be replicated.
 */
import type { IncomingMessage } from 'node:http'
import { StateError } from '../core/errors.ts'
import { hasGlob } from '../core/key.ts'
import type { ChangeEnd } from '../store/operations.ts'
import { parseTarget } from './request-url.ts'
import type { Fate } from './write-fate.ts'
import type { WriteFates } from './write-fates.ts'
import { formatWriteId } from './write-id.ts'

export type AckLevel = 'local' | 'leader' | number

export interface Ack {
  readonly level: AckLevel
  /** Milliseconds to wait. */
  readonly timeoutMs: number
}

/** How far a write has got. */
export interface AckResult {
  /** `local`, `leader`, or how many other nodes hold it. */
  readonly reached: AckLevel
  /** Why that is less than was asked for; undefined when it is not. */
  readonly shortfall: string | undefined
}

/** Header of the answer to a write that asked for more than `local`: what was reached. */
export const ACK_HEADER = 'ooo-ack'

export const DEFAULT_ACK_TIMEOUT_MS = 5000
export const MAX_ACK_TIMEOUT_MS = 60_000
/** Greatest number of nodes that can be asked for. */
export const MAX_ACK_NODES = 100

/**
 * What the query asks for; undefined when it names no level.
 * @throws StateError `invalid_option` naming the value and what is allowed.
 */
export function ackOf(request: Pick<IncomingMessage, 'url'>): Ack | undefined {
  const query = new URLSearchParams(parseTarget(request.url)?.query)
  const levels = query.getAll('ack')
  const times = query.getAll('ackTimeoutMs')
  const timeoutMs = times.length === 0 ? DEFAULT_ACK_TIMEOUT_MS : integerOf(times)
  assertTimeout(timeoutMs, times.join(', '))
  if (levels.length === 0) return undefined
  const [given] = levels
  if (levels.length === 1 && (given === 'local' || given === 'leader')) {
    return { level: given, timeoutMs }
  }
  const level = integerOf(levels)
  assertLevel(level, levels.join(', '))
  return { level, timeoutMs }
}

/** Checks what code of this process asks for. @throws StateError `invalid_option`. */
export function resolveAck(
  level: AckLevel | undefined,
  timeoutMs: number = DEFAULT_ACK_TIMEOUT_MS,
): Ack | undefined {
  assertTimeout(timeoutMs, String(timeoutMs))
  if (level === undefined) return undefined
  if (level !== 'local' && level !== 'leader') assertLevel(level, String(level))
  return { level, timeoutMs }
}

function assertLevel(level: number, shown: string): void {
  if (Number.isInteger(level) && level >= 1 && level <= MAX_ACK_NODES) return
  throw new StateError(
    'invalid_option',
    `ooo: ack ${JSON.stringify(shown)} is not one of: local, leader, a number of nodes from 1 to ${MAX_ACK_NODES}`,
  )
}

function assertTimeout(timeoutMs: number, shown: string): void {
  if (Number.isInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= MAX_ACK_TIMEOUT_MS) return
  throw new StateError(
    'invalid_option',
    `ooo: ackTimeoutMs ${JSON.stringify(shown)} is not an integer from 1 to ${MAX_ACK_TIMEOUT_MS}`,
  )
}

function integerOf(texts: readonly string[]): number {
  const [text = ''] = texts
  return texts.length === 1 && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
}

export interface AcksOptions {
  readonly fates: WriteFates
  readonly isReplicated: (key: string) => boolean
  readonly leaderOf: (key: string) => string | undefined
}

/** Waits for writes to get as far as asked for. */
export class Acks {
  readonly #options: AcksOptions

  constructor(options: AcksOptions) {
    this.#options = options
  }

  /**
   * To be called before the write, with its keys and globs: takes a place for waiting, which the result
   * gives back.
   * @throws StateError `invalid_option` when no other node can ever hold a key; `overloaded`.
   */
  begin(ack: Ack | undefined, keysOrGlobs: readonly string[]): () => void {
    if (ack === undefined || ack.level === 'local') return () => undefined
    if (typeof ack.level === 'number') {
      const lonely = keysOrGlobs.find((key) => !this.#mayBeReplicated(key))
      if (lonely !== undefined) {
        throw new StateError(
          'invalid_option',
          `ooo: ack ${ack.level} can not be reached: key ${lonely} is not replicated here`,
        )
      }
    }
    return this.#options.fates.enter()
  }

  /** Resolves once every write has got there, or the time is up. */
  async confirm({ level, timeoutMs }: Ack, writes: readonly ChangeEnd[]): Promise<AckResult> {
    if (level === 'local' || writes.length === 0) return { reached: level, shortfall: undefined }
    const { fates } = this.#options
    const found = await Promise.all(
      writes.map(({ key, ...id }) => {
        const until = (fate: Fate): boolean => isReached(level, fate)
        return fates.wait({ id, key, until, level, timeoutMs })
      }),
    )
    const worst = found.reduce((a, b) => (rank(a) <= rank(b) ? a : b))
    if (isReached(level, worst)) {
      return { reached: level === 'leader' ? level : worst.replicas, shortfall: undefined }
    }
    const asked = `ooo: ack ${level} was not reached within ${timeoutMs} ms`
    return { reached: levelOf(worst), shortfall: `${asked}: ${this.#whereabouts(worst)}` }
  }

  #whereabouts({ id, key, state, replicas }: Fate): string {
    const kept = `the write ${formatWriteId(id)} of ${key} is kept`
    if (state === 'local') {
      const leader = this.#options.leaderOf(key) ?? 'its leader'
      return `${kept}, durable at this node, and will be pushed to ${leader}`
    }
    const others = `${replicas} other ${replicas === 1 ? 'node' : 'nodes'}`
    return `${kept}, durable at this node and ${others}, and goes on to its followers`
  }

  #mayBeReplicated(keyOrGlob: string): boolean {
    // A glob may cover replicated keys although no scope covers the glob.
    return hasGlob(keyOrGlob) || this.#options.isReplicated(keyOrGlob)
  }
}

function isReached(level: AckLevel, { state, replicas }: Fate): boolean {
  if (typeof level === 'number') return replicas >= level
  return level === 'local' || state === 'leader' || state === 'replicated'
}

function levelOf({ state, replicas }: Fate): AckLevel {
  if (state === 'local' || state === 'unknown') return 'local'
  return replicas > 0 ? replicas : 'leader'
}

function rank({ state, replicas }: Fate): number {
  return state === 'local' || state === 'unknown' ? -1 : replicas
}
