/**
 * Where a write has to be before it is answered: `?ack=local|leader|majority|<n>` and `?ackTimeoutMs=`.
 *
 * - `local`, the default: durable at this node.
 * - `leader`: merged by the leader of its key, which on that node is at once.
 * - `majority`: durable at a majority of the voters of an elected leader, while its lease holds.
 * - a number: durable at so many other nodes, counting the leader and the followers of that leader. Nodes
 *   further down, that follow a follower, do not count.
 *
 * A write is made before it is waited for: when the time is up it is kept, and goes on to be replicated.
 */
import type { IncomingMessage } from 'node:http'
import { StateError } from '../../core/errors.ts'
import { hasGlob } from '../../core/keys/key.ts'
import type { Durability } from '../../core/ports/storage-adapter.ts'
import { UNKNOWN_LEADER } from '../../core/unknown-leader.ts'
import type { ChangeEnd } from '../../store/types/write.ts'
import { formatWriteId } from '../contract/write-id.ts'
import { parseTarget } from '../exchange/request-url.ts'
import type { WriteStatus } from './status.ts'
import type { WriteStatusTracker } from './tracker.ts'

export type AckLevel = 'local' | 'leader' | 'majority' | number

export interface Ack {
  readonly level: AckLevel
  /** Milliseconds to wait. */
  readonly timeoutMs: number
}

/** How far a write has got. */
export interface AckResult {
  /** `local`, `leader`, `majority`, or how many other nodes hold it. */
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
  const named = NAMED.find((name) => name === given)
  if (levels.length === 1 && named !== undefined) {
    if (named === 'majority') assertNotMemory(query.getAll('durability'))
    return { level: named, timeoutMs }
  }
  const level = integerOf(levels)
  assertLevel(level, levels.join(', '))
  return { level, timeoutMs }
}

/** Checks what code of this process asks for. @throws StateError `invalid_option`. */
export function resolveAck(
  level: AckLevel | undefined,
  timeoutMs: number = DEFAULT_ACK_TIMEOUT_MS,
  durability?: Durability,
): Ack | undefined {
  assertTimeout(timeoutMs, String(timeoutMs))
  if (level === undefined) return undefined
  if (level === 'majority') assertNotMemory([durability])
  if (typeof level === 'number' || !NAMED.includes(level)) assertLevel(level, String(level))
  return { level, timeoutMs }
}

const NAMED: readonly Exclude<AckLevel, number>[] = ['local', 'leader', 'majority']

/** What is lost with a process is held by no voter. */
function assertNotMemory(durabilities: readonly (string | undefined)[]): void {
  if (!durabilities.includes('memory')) return
  throw new StateError(
    'invalid_option',
    'ooo: ack majority counts voters that hold the write at durability process or disk, not memory',
  )
}

function assertLevel(level: unknown, shown: string): void {
  if (typeof level === 'number' && Number.isInteger(level) && level >= 1 && level <= MAX_ACK_NODES)
    return
  throw new StateError(
    'invalid_option',
    `ooo: ack ${JSON.stringify(shown)} is not one of: local, leader, majority, a number of nodes from 1 to ${MAX_ACK_NODES}`,
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
  readonly writeStatuses: WriteStatusTracker
  readonly isReplicated: (key: string) => boolean
  readonly hasVoters: (key: string) => boolean
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
   * @throws StateError `invalid_option` when no other node can ever hold a key, or it has no voters;
   *   `overloaded`.
   */
  begin(ack: Ack | undefined, keysOrGlobs: readonly string[]): () => void {
    if (ack === undefined || ack.level === 'local') return () => undefined
    if (ack.level === 'majority') {
      const led = keysOrGlobs.find((key) => !this.#options.hasVoters(key))
      if (led !== undefined) {
        throw new StateError(
          'invalid_option',
          `ooo: ack majority can not be reached: the leader of key ${led} is not elected, so it has no voters`,
        )
      }
    }
    if (typeof ack.level === 'number') {
      const lonely = keysOrGlobs.find((key) => !this.#mayBeReplicated(key))
      if (lonely !== undefined) {
        throw new StateError(
          'invalid_option',
          `ooo: ack ${ack.level} can not be reached: key ${lonely} is not replicated here`,
        )
      }
    }
    return this.#options.writeStatuses.enter()
  }

  /** Resolves once every write has got there, or the time is up. */
  async confirm({ level, timeoutMs }: Ack, writes: readonly ChangeEnd[]): Promise<AckResult> {
    if (level === 'local' || writes.length === 0) return { reached: level, shortfall: undefined }
    const { writeStatuses } = this.#options
    const isAgreed = (status: WriteStatus): boolean => isReached(level, status)
    const found = await Promise.all(
      writes.map(({ key, ...id }) => {
        const until = (status: WriteStatus): boolean =>
          isAgreed(status) || status.state === 'refused'
        return writeStatuses.wait({ id, key, until, level, timeoutMs })
      }),
    )
    const least = found.find((status) => !isAgreed(status))
    const worst = least ?? found.reduce((a, b) => (rank(a) <= rank(b) ? a : b))
    if (isReached(level, worst)) {
      return { reached: typeof level === 'number' ? worst.replicas : level, shortfall: undefined }
    }
    if (worst.state === 'refused') {
      const { id, key, refusedFor } = worst
      const what = `ooo: the leader refused the write ${formatWriteId(id)} of ${key} for good (${refusedFor})`
      return { reached: 'local', shortfall: `${what}; it is in the conflict log of this node` }
    }
    const asked = `ooo: ack ${level} was not reached within ${timeoutMs} ms`
    return { reached: levelOf(worst), shortfall: `${asked}: ${this.#placeReached(worst, level)}` }
  }

  #placeReached({ id, key, state, replicas, unconfirmed }: WriteStatus, level: AckLevel): string {
    const kept = `the write ${formatWriteId(id)} of ${key} is kept`
    if (state === 'local') {
      const known = this.#options.leaderOf(key) ?? 'its leader'
      const leader = known === UNKNOWN_LEADER ? 'whoever leads next' : known
      const voters = level === 'majority' ? '; no other voter is known to hold it' : ''
      return `${kept}, durable at this node, and will be pushed to ${leader}${voters}`
    }
    const others = `${replicas} other ${replicas === 1 ? 'node' : 'nodes'}`
    const voters =
      level === 'majority' && unconfirmed ? `; not confirmed by the voters: ${unconfirmed}` : ''
    return `${kept}, durable at this node and ${others}, and goes on to its followers${voters}`
  }

  #mayBeReplicated(keyOrGlob: string): boolean {
    // A glob may cover replicated keys although no scope covers the glob.
    return hasGlob(keyOrGlob) || this.#options.isReplicated(keyOrGlob)
  }
}

function isReached(level: AckLevel, { state, replicas, isMajority }: WriteStatus): boolean {
  if (typeof level === 'number') return replicas >= level
  if (level === 'majority') return isMajority
  return level === 'local' || state === 'leader' || state === 'replicated'
}

function levelOf({ state, replicas }: WriteStatus): AckLevel {
  if (isNowhere(state)) return 'local'
  return replicas > 0 ? replicas : 'leader'
}

/** No other node is known to hold it. */
function isNowhere(state: WriteStatus['state']): boolean {
  return state === 'local' || state === 'refused' || state === 'unknown'
}

function rank({ state, replicas }: WriteStatus): number {
  return isNowhere(state) ? -1 : replicas
}
