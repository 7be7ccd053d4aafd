/** Serves followers: one session per stream; see `stream-session.ts`. */
import type { Commit } from '../../src/core/data/entry.ts'
import type { SocketHandlers } from '../../src/core/ports/transport.ts'
import { Departures } from './departures.ts'
import type { LeaderOptions } from './options.ts'
import { type FollowerStatus, StreamSession, wallMs } from './stream-session.ts'
import type { MeteredSocket } from './traffic.ts'

export type { FollowerStatus } from './stream-session.ts'

export class Leader {
  readonly #options: LeaderOptions
  readonly #sessions = new Set<StreamSession>()
  /** Those that send what is committed; a commit costs nothing for the others, which are on the bus. */
  readonly #streaming = new Set<StreamSession>()
  readonly #departures = new Departures()
  #opened = 0

  constructor(options: LeaderOptions) {
    this.#options = options
  }

  /** Takes an open stream; the caller feeds the returned handlers. */
  accept(socket: MeteredSocket, address: string): SocketHandlers {
    const session = new StreamSession(this.#options, socket, address, `stream-${++this.#opened}`, {
      ended: () => this.#forget(session),
      fed: (from) => {
        if (from === 'bus') this.#streaming.delete(session)
        else this.#streaming.add(session)
      },
    })
    this.#sessions.add(session)
    this.#streaming.add(session)
    return session
  }

  /** Hears every commit of the store. */
  committed(commit: Commit): void {
    for (const session of this.#streaming) session.committed(commit)
    this.#options.publisher?.committed(commit)
  }

  /** Followers on the bus are to say at once when they hold everything up to `seq`. */
  ask(seq: number): void {
    if (this.#streaming.size < this.#sessions.size) this.#options.publisher?.ask(seq)
  }

  /** What is published does not get to the bus: those on it are told. */
  unpublished(): void {
    for (const session of this.#sessions) session.unpublished()
  }

  followers(): FollowerStatus[] {
    return [...this.#sessions].flatMap((session) => session.status() ?? [])
  }

  /** When followers that were connected were found gone, milliseconds since the epoch, by their id. */
  get departed(): ReadonlyMap<string, number> {
    return this.#departures.times
  }

  #forget(session: StreamSession): void {
    this.#sessions.delete(session)
    this.#streaming.delete(session)
    const id = session.followerId
    if (id !== undefined) this.#departures.note(id, wallMs(this.#options.time))
  }

  /** Ends every stream with this reason, waiting for what they have begun to write. */
  async stop(reason: string): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.stop(reason)))
  }
}
