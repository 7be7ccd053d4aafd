/** What the server asks of a plugin that replicates: how far writes have got, and calls to leaders. */
import type { IncomingHttpHeaders } from 'node:http'
import type { WriteId } from './write-id.ts'

/** How many followers hold a row of this node's change log. */
export interface Holders {
  /** Connected followers of the key. */
  readonly following: number
  /** How many of those hold it durably. */
  readonly holding: number
  /** A majority of the voters holds it, this node leads by a lease that holds, and decides. */
  readonly isMajority: boolean
  /** Where the key has voters and no majority holds it: those that do not, and why. */
  readonly unconfirmed?: string
}

export interface LeaderRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | undefined
  /** Milliseconds until it fails. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export interface LeaderAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Uint8Array
}

export interface Replication {
  /** Whether the key is replicated: it has, or can have, followers or a leader. */
  isReplicated(key: string): boolean
  /** Whether the key has an elected leader, and so voters. */
  hasVoters(key: string): boolean
  /**
   * Who holds what is at `seq` of this node's log.
   * @param without a node that does not count
   */
  holders(key: string, seq: number, without: string): Holders
  /** Code of the error for which a leader refused a write of this node for good; undefined: it did not. */
  refusalOf(key: string, id: WriteId): Promise<string | undefined>
  /**
   * Makes an HTTP request to a leader, with the cluster's token.
   * @throws StateError `unreachable` when no answer comes; the message names the leader.
   */
  call(leader: string, request: LeaderRequest): Promise<LeaderAnswer>
  /** Whether writes that only a leader may decide are passed on to it. */
  readonly forwards: boolean
  /** Hears that followers may hold more than before. Must not throw. */
  onProgress(listener: () => void): () => void
}
