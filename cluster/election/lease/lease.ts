/**
 * A lease: one node at a time holds it, for as long as it renews it. Kept by something outside of the
 * cluster, such as Redis or Kubernetes. An implementation serves one candidate.
 */

/** A node that may lead. */
export interface Holder {
  /** Id of the node; without spaces. */
  readonly id: string
  /** Where other nodes reach it: `http(s)://host:port`. */
  readonly url: string
}

/** What a lease keeps for the next leader; like the fencing number it outlives every grant. */
export interface LeaseMark {
  /** No leader has stamped a decision with this or more, nanoseconds; 0n: none was ever given. */
  readonly ceiling: bigint
  /** The list of voters, as text (`encodeVoterList`); empty: none was made. */
  readonly voters: string
}

/** Of a lease that was never led by, or has lost its memory. */
export const NO_MARK: LeaseMark = Object.freeze({ ceiling: 0n, voters: '' })

/** What the lease was when it answered. */
export interface LeaseView {
  /** undefined: it is free. */
  readonly holder: Holder | undefined
  /**
   * Fencing number of the latest grant that the lease remembers; every grant has a greater one. 0: it
   * remembers none, because there was none or because it lost its memory.
   */
  readonly token: number
  /** The candidate who asked is the holder. */
  readonly isMine: boolean
  /**
   * How long after the answer the holder may still renew it unharmed, milliseconds; 0: it may be taken
   * at once.
   */
  readonly heldForMs: number
  /**
   * How long after the answer it is known that the holder may decide, milliseconds. Default: `heldForMs` without
   * the part of the duration in which a holder that has not renewed does not decide any more.
   */
  readonly confirmedForMs?: number
  /** As the last leader left it. */
  readonly mark: LeaseMark
}

/** Requests reject when no answer comes; what was asked may have been done all the same. */
export interface Lease {
  /** `redis`, `kubernetes`, … */
  readonly kind: string
  /** The name of the lease, as people know it. */
  readonly name: string
  /** A holder who has not renewed for so long has lost it, milliseconds. */
  readonly durationMs: number
  /** What it is, changing nothing. */
  look(): Promise<LeaseView>
  /**
   * Takes it when it is free, has lapsed, is this candidate's already, or belonged to an earlier life of the
   * same node. A new grant has a greater number than `above` and than all that the lease remembers; one that
   * is held already is prolonged. A lease that does not remember `above` has lost its memory, and is not taken.
   */
  take(above: number): Promise<LeaseView>
  /** As `take`, and also when the lease does not remember `above`: then from whoever it was granted to. */
  claim(above: number): Promise<LeaseView>
  /**
   * Prolongs the grant with this number. One that has lapsed or was forgotten is restored, unless a
   * later one was made. In the same step, and only then, the lease keeps the greater ceiling of its own and
   * the given one, and the voters unless they are empty.
   */
  renew(token: number, mark: LeaseMark): Promise<LeaseView>
  /** Gives up the grant with this number, so that it is free at once; nothing when it is not held. */
  release(token: number): Promise<void>
  /**
   * Hears whether this candidate leads, by its own clock: at the start, and whenever that changes. For what
   * is to be shown outside; nothing waits for it. Must not throw.
   */
  stands?(leads: boolean): void
  /** What became of the label of this candidate's pod; absent where pods are not labelled. */
  podLabel?(): PodLabelReport | undefined
  /** Ends connections. Idempotent. */
  close(): Promise<void>
}

/** What became of the label of a leader's pod. */
export interface PodLabelReport {
  readonly pod: string
  /** As selectors have it: `name=value`. */
  readonly label: string
  /** Whether the pod carries it, as the API said last; undefined: the last request failed, or is the first. */
  readonly isSet: boolean | undefined
  /** Other pods that may still carry it; known to the leader. */
  readonly others: readonly string[]
  /** Requests that failed since the start. */
  readonly failures: number
  /** Why the last one about one of these pods failed; undefined: none did. */
  readonly lastError: string | undefined
}

/** The same text for the same life of a node; another one after its restart. */
export interface Candidate extends Holder {
  readonly session: string
}
