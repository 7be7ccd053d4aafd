/** Lists for clients that have left before all of their list was there. */
import { describe, expect, it } from 'vitest'
import { LongList } from '../../../src/fanout/frames/long-list.ts'
import { UnreadAnswers } from '../../../src/server/exchange/unread-answers.ts'
import { Lists } from '../../../src/server/lists/lists.ts'
import { FakeTime } from '../../support/fake-time.ts'

/** A response whose connection has ended: it says so, and gives no more events. */
const GONE = {
  destroyed: true,
  socket: null,
  once: () => GONE,
  off: () => GONE,
} as unknown as Parameters<Lists['begin']>[0]

describe('a client that has left while its list was read', () => {
  it('leaves nothing of the list behind', async () => {
    const lists = new Lists(new UnreadAnswers(1024, new FakeTime()))
    await lists.begin(GONE, 'items/*', new LongList([]), false).catch(() => undefined)
    expect(lists.size).toBe(0)
  })

  it('does not wait for room', async () => {
    const answers = new UnreadAnswers(1024, new FakeTime())
    await expect(answers.reserve(GONE, 10)).rejects.toThrow('the client left')
    expect([answers.waiting, answers.bytes]).toEqual([0, 0])
  })
})
