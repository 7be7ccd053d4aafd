/**
 * The subscribers of one pool that live in another process, as one member of the pool: what the pool
 * hands to it goes out once, whatever their number. `RelayPool` is the other end.
 */
import type { FrameBatch } from '../frames/batch.ts'
import type { AskCatchUp, PoolMember } from '../frames/subscriber.ts'
import type { PoolNews, PoolQuestion, RelayedBatch, RelayedCatchUp } from './messages.ts'

export class Relay implements PoolMember {
  readonly #pool: number
  readonly #post: (news: PoolNews) => void
  readonly #catchUp: AskCatchUp
  #connections = 0
  /** The full state relayed last; undefined once something came after it. */
  #sent: FrameBatch | undefined

  /** @param pool names the pool on the channel */
  constructor(pool: number, post: (news: PoolNews) => void, catchUp: AskCatchUp) {
    this.#pool = pool
    this.#post = post
    this.#catchUp = catchUp
  }

  get connections(): number {
    return this.#connections
  }

  /** A subscriber came to the other process. */
  entered(): void {
    this.#connections++
  }

  /** One ended there. @returns how many are left */
  left(): number {
    this.#connections--
    return this.#connections
  }

  /** Answers the other process. */
  answer({ pool, request, heldVersion }: PoolQuestion): void {
    this.#post({ kind: 'caughtUp', pool, request, catchUp: this.#catchUpFor(heldVersion) })
  }

  deliver(batch: FrameBatch): void {
    this.#sent = undefined
    this.#post({ kind: 'batch', pool: this.#pool, batch: relayed(batch) })
  }

  synchronize(): void {
    this.#post({ kind: 'live', pool: this.#pool, catchUp: this.#catchUpFor(undefined) })
  }

  invalidate(): void {
    this.#sent = undefined
    this.#post({ kind: 'invalid', pool: this.#pool })
  }

  close(): void {
    this.#sent = undefined
  }

  #catchUpFor(heldVersion: string | undefined): RelayedCatchUp {
    const catchUp = this.#catchUp(heldVersion)
    if (catchUp.kind !== 'behind') return catchUp
    const { batch } = catchUp
    // Asked after the catch-up, which may have handed over what waited.
    if (batch === this.#sent) return { kind: 'same' }
    if (batch.from === undefined) this.#sent = batch
    return { kind: 'behind', batch: relayed(batch) }
  }
}

function relayed({ from, frames }: FrameBatch): RelayedBatch {
  return { from, frames }
}
