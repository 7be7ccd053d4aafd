/** Changes of the voters' list that somebody asks for: guards, and waiting until they are done. */
import { StateError } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { TimeSource } from '../../../src/core/ports/time.ts'
import type { VoterList } from '../../../src/core/voter-list.ts'
import type { BallotEffect, BallotEvent, BallotState } from './ballot-state.ts'
import { whyNotFound } from './founding-guard.ts'

export interface VoterChangesOptions {
  readonly state: () => BallotState
  readonly dispatch: (event: BallotEvent) => readonly BallotEffect[]
  readonly isOver: () => boolean
  /** Why nothing is decided. */
  readonly reason: () => string | undefined
  readonly time: TimeSource
  readonly logger: Logger
}

/** A change of the list that takes longer goes on; who asked for it is told so, milliseconds. */
const CHANGE_MS = 10_000

export class VoterChanges {
  readonly #options: VoterChangesOptions
  readonly #waiting = new Set<() => void>()

  constructor(options: VoterChangesOptions) {
    this.#options = options
  }

  /** To be called when the state may have changed, or the ballot is over. */
  wake(): void {
    for (const look of [...this.#waiting]) look()
  }

  /**
   * Adds or removes a voter. Resolves once majorities of the list before and of the new one have it; at
   * once when it is so already. A node that is added is waited for until it is connected.
   * @throws StateError `undecided` when the leader does not decide, or not in time; `invalid_option`, also
   *   when no node has the name, unless it `mayBeAbsent`.
   */
  async change(
    how: 'add' | 'remove',
    name: string,
    { mayBeAbsent = false }: { readonly mayBeAbsent?: boolean } = {},
  ): Promise<VoterList> {
    const { dispatch } = this.#options
    const isSo = (): boolean => this.#state.list?.voters.includes(name) === (how === 'add')
    const isKnown = (): boolean => how === 'remove' || mayBeAbsent || this.#knows(name) || isSo()
    if (this.#state.phase === 'deciding') {
      await this.#until(isKnown)
      await this.#until(() => this.#state.list?.before === undefined)
      const { list, phase } = this.#state
      if (phase === 'deciding' && list !== undefined && list.before === undefined && isSo()) {
        return this.#settled(list)
      }
      if (!isKnown()) throw this.#noVoterNamed(name)
    }
    this.#must(dispatch({ type: 'change', how, name }))
    const wanted = this.#state.list
    await this.#until(() => this.#isSettled(wanted))
    return this.#settled(wanted)
  }

  /**
   * Begins with a list of its own, because a majority of the voters' disks is lost. Errors as `change`.
   * @param giveUp all voters of before that are not in it, as a sign that it is meant
   */
  async found(voters: readonly string[], giveUp?: readonly string[]): Promise<VoterList> {
    const { logger, dispatch } = this.#options
    const refusal = whyNotFound(this.#state, voters, giveUp)
    if (refusal !== undefined) throw new StateError('invalid_option', `voters: ${refusal}`)
    logger.warn('the list of voters is begun anew', {
      voters: voters.join(', '),
      givenUp: giveUp?.join(', '),
    })
    this.#must(dispatch({ type: 'found', voters }))
    await this.#until(() => this.#state.phase === 'deciding' && this.#state.isSaved)
    return this.#settled(this.#state.list)
  }

  get #state(): BallotState {
    return this.#options.state()
  }

  #knows(name: string): boolean {
    const { self, connected } = this.#state
    return name === self || connected.has(name)
  }

  #noVoterNamed(name: string): StateError {
    const { self, connected, list } = this.#state
    const known = [...new Set([self, ...connected.keys(), ...(list?.voters ?? [])])].sort()
    return new StateError(
      'invalid_option',
      `voters: no node named "${name}" has connected within ${CHANGE_MS / 1000} s; nodes that are known: ${known.join(', ')}; for one that comes later give --absent ("absent":true)`,
    )
  }

  #isSettled(wanted: VoterList | undefined): boolean {
    const { list, isSaved } = this.#state
    return isSaved && list?.before === undefined && list?.change === wanted?.change
  }

  #settled(wanted: VoterList | undefined): VoterList {
    const { list, phase } = this.#state
    if (this.#options.isOver()) {
      throw new StateError('undecided', 'voters: this node leads no longer; ask again')
    }
    if (list !== undefined && phase === 'deciding' && this.#isSettled(wanted)) return list
    throw new StateError(
      'undecided',
      `voters: not done within ${CHANGE_MS} ms, and goes on; ${this.#options.reason() ?? 'not enough voters have stored the list'}`,
    )
  }

  #must(effects: readonly BallotEffect[]): void {
    for (const effect of effects) {
      if (effect.type !== 'refuse') continue
      const { phase, list } = this.#state
      const mayComeTrue = phase !== 'deciding' || list?.before !== undefined
      const code = mayComeTrue ? 'undecided' : 'invalid_option'
      throw new StateError(code, `voters: ${effect.reason}`)
    }
  }

  /** Resolves when it is so, or the time is up, or the ballot is over. */
  #until(isSo: () => boolean): Promise<void> {
    const { isOver, time } = this.#options
    if (isSo() || isOver()) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        this.#waiting.delete(look)
        resolve()
      }
      const look = (): void => {
        if (isSo() || isOver()) end()
      }
      this.#waiting.add(look)
      const cancel = time.after(CHANGE_MS, end)
    })
  }
}
