/**
 * What a 2.0 peer has been seen to hold. 2.0 tells of no delete for longer than to the next write, so
 * this node remembers: all that it held itself up to a place in its own log was at the peer. Such a key
 * that has not changed here since, and is missing there now, has been deleted there.
 *
 * Kept in one row `m/pivot2/held/<peer>` per peer, a line per path: `<path> <seq> <time> <activity> <epoch>`.
 */
import type { ReplicationStore } from '../../../src/store/replication-store.ts'

/** One look at a path of a peer that found everything there. */
export interface Observation {
  /** Every entry of the path whose latest change here is not after this seq was at the peer. */
  readonly seq: number
  /** When that was, nanoseconds since the Unix epoch. */
  readonly atNs: bigint
  /** The activity of the peer then; 0n when it was not asked. */
  readonly activity: bigint
}

type Line = Observation & { readonly epoch: string }

export class HeldByPeer {
  readonly #store: ReplicationStore
  readonly #row: string
  readonly #lines: Map<string, Line>
  #saving: Promise<void> = Promise.resolve()

  /** @param peer URL or `host:port`; @param store open */
  constructor(store: ReplicationStore, peer: string) {
    this.#store = store
    this.#row = `pivot2/held/${encodeURIComponent(peer)}`.slice(0, 900)
    this.#lines = decode(store.meta(this.#row))
  }

  /** undefined when nothing is known, or the log of this node has been lost since. */
  of(path: string): Observation | undefined {
    const line = this.#lines.get(path)
    return line !== undefined && this.#store.canResume(line) ? line : undefined
  }

  /** Resolves when it is durable. @throws StateError of the storage. */
  note(observations: ReadonlyMap<string, Observation>): Promise<void> {
    const { epoch } = this.#store
    for (const [path, observation] of observations) this.#lines.set(path, { ...observation, epoch })
    return this.#save()
  }

  /** Nothing is known any more of a path, or of all. @throws StateError of the storage. */
  forget(path?: string): Promise<void> {
    const hadAny = path === undefined ? this.#lines.size > 0 : this.#lines.has(path)
    if (path === undefined) this.#lines.clear()
    else this.#lines.delete(path)
    return hadAny ? this.#save() : this.#saving
  }

  #save(): Promise<void> {
    // One after the other: the last to be written is the last to be noted.
    const saved = this.#saving.then(() =>
      this.#store.saveMeta(new Map([[this.#row, encode(this.#lines)]])),
    )
    this.#saving = saved.catch(() => undefined)
    return saved
  }
}

function encode(lines: ReadonlyMap<string, Line>): string {
  return [...lines]
    .map(([path, { seq, atNs, activity, epoch }]) => `${path} ${seq} ${atNs} ${activity} ${epoch}`)
    .join('\n')
}

function decode(text: string | undefined): Map<string, Line> {
  const lines = new Map<string, Line>()
  for (const line of text?.split('\n') ?? []) {
    const [path, seq, atNs, activity, epoch] = line.split(' ')
    if (path === undefined || epoch === undefined) continue
    lines.set(path, {
      seq: Number(seq),
      atNs: BigInt(atNs ?? '0'),
      activity: BigInt(activity ?? '0'),
      epoch,
    })
  }
  return lines
}
