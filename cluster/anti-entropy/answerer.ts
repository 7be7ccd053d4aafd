/** Does what `answer-state.ts` decides: reads digests and records for one follower's comparisons. */
import type { Entry } from '../../src/core/data/entry.ts'
import type { TimeSource } from '../../src/core/ports/time.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { ClusterLimits } from '../config/options.ts'
import { Answer } from './answer.ts'
import type { AnswerEffect, AnswerEvent } from './answer-state.ts'
import type { DigestTable } from './digest-table.ts'

export interface AnswererOptions {
  readonly store: ReplicationStore
  readonly time: TimeSource
  readonly digests: DigestTable
  readonly limits: ClusterLimits
  /** Up to which stamp tombstones of the keys of a path do not count in digests. */
  readonly horizon: (path: string) => bigint
  /** Version of the stream that the follower speaks. */
  readonly protocol: () => number
  /** Sends the value of a record in pieces; `done` is called when the follower has it, or never. */
  readonly ship: (record: Entry, done: () => void) => void
  /** Takes what has been read. */
  readonly dispatch: (event: Exclude<AnswerEvent, { type: 'comparison' }>) => void
  /** Hears that something could not be read. */
  readonly fail: (error: unknown) => void
}

export class Answerer {
  readonly #options: AnswererOptions
  #answer: Answer | undefined
  #closing: Promise<void> = Promise.resolve()

  constructor(options: AnswererOptions) {
    this.#options = options
  }

  run(effect: Exclude<AnswerEffect, { type: 'send' }>): void {
    const { store, time, limits, fail } = this.#options
    switch (effect.type) {
      case 'digest':
        this.#digest(effect).catch(fail)
        break
      case 'open': {
        const { set, nodes, after } = effect.want
        this.#end()
        const protocol = this.#options.protocol()
        this.#answer = new Answer({ store, time, set, nodes, protocol }, after, limits)
        break
      }
      case 'gather':
        this.#answer?.add(effect.have.hashes)
        break
      case 'search':
        this.#search(effect.n).catch(fail)
        break
    }
  }

  /** Ends scans, waiting for them. Idempotent. */
  async close(): Promise<void> {
    this.#end()
    await this.#closing
  }

  async #digest({ ask }: Extract<AnswerEffect, { type: 'digest' }>): Promise<void> {
    const { store, digests, dispatch } = this.#options
    const { n, set, nodes } = ask
    const horizon = this.#options.horizon(set.path)
    const counting = { set, horizon, protocol: this.#options.protocol() }
    await digests.track(counting)
    const computed = digests.digests(counting, nodes)
    dispatch({ type: 'digested', n, head: store.head, horizon, digests: computed })
  }

  async #search(n: number): Promise<void> {
    const answer = this.#answer
    if (answer === undefined) return
    const page = await answer.next()
    if (page.large !== undefined) await this.#shipped(page.large)
    if (this.#answer !== answer) return
    if (page.last) this.#end()
    this.#options.dispatch({ type: 'found', n, head: this.#options.store.head, page })
  }

  #shipped(record: Entry): Promise<void> {
    return new Promise((resolve) => {
      this.#options.ship(record, resolve)
    })
  }

  #end(): void {
    const answer = this.#answer
    if (answer === undefined) return
    this.#answer = undefined
    this.#closing = Promise.all([this.#closing, answer.close()]).then(
      () => undefined,
      // A scan that ends is of no use to anyone, however it ends.
      () => undefined,
    )
  }
}
