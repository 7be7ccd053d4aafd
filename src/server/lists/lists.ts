/**
 * Long lists that are being read or sent. Each waits for its room, is worked on in turns with the others, and
 * counts what it alone keeps alive: values that it is still to send, and that were replaced meanwhile.
 */
import type { ServerResponse } from 'node:http'
import { type Commit, type Entry, newestFirst } from '../../core/data/entry.ts'
import { matchKey } from '../../core/keys/key.ts'
import type { LongList } from '../../fanout/frames/long-list.ts'
import type { ListPace } from '../../store/types/list-pace.ts'
import type { UnreadAnswers } from '../exchange/unread-answers.ts'
import { Turns } from '../turns/turns.ts'
import { bytesWhileSent } from './list-body.ts'

interface OpenList {
  readonly glob: string
  readonly list: LongList
  readonly isOldestFirst: boolean
  /** Keys whose values were replaced and are counted: only the first of each is in the list. */
  readonly replaced: Set<string>
}

export class Lists {
  readonly turns: Turns = new Turns()
  readonly #answers: UnreadAnswers
  readonly #open = new Map<ServerResponse, OpenList>()

  constructor(answers: UnreadAnswers) {
    this.#answers = answers
  }

  /** Lists that are being sent. */
  get size(): number {
    return this.#open.size
  }

  /** How the list that `response` answers is read. */
  paceOf(response: ServerResponse): ListPace {
    const answers = this.#answers
    let isCounted = false
    return {
      enter: (entries) => answers.reserve(response, bytesWhileSent(entries)),
      run: (steps) => this.turns.work(steps),
      read: async (bytes) => {
        if (!isCounted) await answers.reserve(response, bytesWhileSent(0))
        isCounted = true
        answers.grow(response, bytes)
        await this.turns.run(() => undefined)
      },
    }
  }

  /** Waits until there is room to send the list, unless it has some, and counts what it keeps alive until it is sent. */
  async begin(
    response: ServerResponse,
    glob: string,
    list: LongList,
    isOldestFirst: boolean,
  ): Promise<void> {
    // Its `close` has been, and would not be heard again.
    if (response.destroyed) return
    this.#open.set(response, { glob, list, isOldestFirst, replaced: new Set() })
    response.once('close', () => this.#open.delete(response))
    if (!this.#answers.holds(response)) {
      await this.#answers.reserve(response, bytesWhileSent(list.size))
    }
  }

  /** Takes note of values that are not in memory any more but for the lists that are to send them. */
  committed({ changes }: Commit): void {
    if (this.#open.size === 0) return
    for (const [response, open] of this.#open) {
      let bytes = 0
      for (const { key, before } of changes) {
        if (before === undefined || !isToBeSent(open, before) || open.replaced.has(key)) continue
        open.replaced.add(key)
        bytes += before.data.length
      }
      if (bytes > 0 && !this.#answers.grows(response, bytes)) this.#answers.cutOff(response)
    }
  }
}

function isToBeSent({ glob, list, isOldestFirst }: OpenList, entry: Entry): boolean {
  const { current } = list
  if (current === undefined || !matchKey(glob, entry.key)) return false
  return isOldestFirst ? newestFirst(entry, current) <= 0 : newestFirst(entry, current) >= 0
}
