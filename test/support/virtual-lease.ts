/** A lease that exists in memory, with answers that take time, get lost, or come from a memory of before. */
import {
  type Candidate,
  type Lease,
  type LeaseMark,
  type LeaseView,
  NO_MARK,
} from '../../cluster/election/lease/lease.ts'
import { NS_PER_MS, type TimeSource } from '../../src/core/ports/time.ts'

interface Grant {
  readonly by: Candidate
  readonly token: number
  readonly untilNs: bigint
}

/** Keeps one lease, as a server does: exactly, on its own clock. */
export class LeaseServer {
  readonly durationMs: number
  readonly #time: TimeSource
  #grant: Grant | undefined
  #token = 0
  #mark = NO_MARK

  constructor(time: TimeSource, durationMs = 5000) {
    this.#time = time
    this.durationMs = durationMs
  }

  /** It forgets everything. */
  flush(): void {
    this.#grant = undefined
    this.#token = 0
    this.#mark = NO_MARK
  }

  get holder(): Candidate | undefined {
    return this.#live()?.by
  }

  look(by: Candidate): LeaseView {
    const grant = this.#live()
    const isMine = grant?.by.session === by.session
    const heldForMs =
      grant === undefined ? 0 : Number(grant.untilNs - this.#time.monotonicNs()) / 1e6
    const holder = grant && { id: grant.by.id, url: grant.by.url }
    const mark = this.#mark
    return { holder, token: grant?.token ?? this.#token, isMine, heldForMs, mark }
  }

  take(by: Candidate, above: number, isClaim = false): LeaseView {
    const grant = this.#live()
    if (grant?.by.session === by.session && grant.token >= above) return this.#put(by, grant.token)
    const forgot = (grant?.token ?? this.#token) < above
    const isOpen = forgot ? isClaim : grant === undefined || grant.by.id === by.id
    return isOpen ? this.#put(by, Math.max(above, this.#token) + 1) : this.look(by)
  }

  renew(by: Candidate, token: number, mark: LeaseMark): LeaseView {
    const grant = this.#live()
    const isMine = grant?.by.session === by.session && grant.token === token
    const isForgotten = grant === undefined ? this.#token <= token : !isMine && grant.token < token
    if (!isMine && !isForgotten) return this.look(by)
    const { ceiling, voters } = this.#mark
    this.#mark = {
      ceiling: mark.ceiling > ceiling ? mark.ceiling : ceiling,
      voters: mark.voters === '' ? voters : mark.voters,
    }
    return this.#put(by, token)
  }

  release(by: Candidate, token: number): void {
    if (this.#grant?.by.session === by.session && this.#grant.token === token) {
      this.#grant = undefined
    }
  }

  #live(): Grant | undefined {
    const grant = this.#grant
    return grant !== undefined && this.#time.monotonicNs() < grant.untilNs ? grant : undefined
  }

  #put(by: Candidate, token: number): LeaseView {
    const untilNs = this.#time.monotonicNs() + BigInt(this.durationMs) * NS_PER_MS
    this.#token = token
    this.#grant = { by, token, untilNs }
    return this.look(by)
  }
}

/** How requests get through: resolves when they do, rejects when they are lost. */
export type Passage = () => Promise<void>

/** One candidate's view of the server, over a network. */
export function leaseOver(server: LeaseServer, by: Candidate, pass: Passage): Lease {
  const ask = async <T>(question: () => T): Promise<T> => {
    await pass()
    const answer = question()
    await pass()
    return answer
  }
  return {
    kind: 'virtual',
    name: 'lease',
    durationMs: server.durationMs,
    look: () => ask(() => server.look(by)),
    take: (above) => ask(() => server.take(by, above)),
    claim: (above) => ask(() => server.take(by, above, true)),
    renew: (token, mark) => ask(() => server.renew(by, token, mark)),
    release: (token) => ask(() => server.release(by, token)),
    close: async () => undefined,
  }
}
