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
   * later one was made.
   */
  renew(token: number): Promise<LeaseView>
  /** Gives up the grant with this number, so that it is free at once; nothing when it is not held. */
  release(token: number): Promise<void>
  /** Ends connections. Idempotent. */
  close(): Promise<void>
}

/** The same text for the same life of a node; another one after its restart. */
export interface Candidate extends Holder {
  readonly session: string
}
