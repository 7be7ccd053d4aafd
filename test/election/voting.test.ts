/** What a node keeps of its votes, and what it says to leaders over a link. */
import { describe, expect, it } from 'vitest'
import { Voting } from '../../cluster/election/voting.ts'
import { FollowerVoting } from '../../cluster/follower-voting.ts'
import type { Grant, Vote } from '../../src/core/protocol-voting.ts'
import type { VoterList } from '../../src/core/voter-list.ts'
import type { Store } from '../../src/store/store.ts'
import { MemoryStorage } from '../../storage-adapters/memory.ts'
import { openStore } from '../support/store.ts'

const LIST: VoterList = { voters: ['a', 'b', 'c'], lease: 3, change: 2 }
const grant = (n: number, more: Partial<Grant> = {}): Grant => ({
  ...{ t: 'grant', n, decides: false, founds: false, voters: LIST },
  ...more,
})

function votingOn(store: Store): Voting {
  const voting = new Voting({ store, name: 'b' })
  voting.start()
  return voting
}

/** A link that notes what it sends, and why it was dropped. */
function linkOf(voting: Voting) {
  const sent: Vote[] = []
  const drops: string[] = []
  let work: Promise<void> = Promise.resolve()
  const counts = { refused: 0 }
  const link = new FollowerVoting({
    voting,
    queue: (step) => {
      work = work.then(step)
    },
    send: (vote) => sent.push(vote),
    drop: (reason) => drops.push(reason),
    refused: () => counts.refused,
  })
  link.up()
  return { link, sent, drops, counts, settled: () => work }
}

describe('a node that votes', () => {
  it('says how it votes once that is stored, and again when the leader holds all', async () => {
    const voting = votingOn(await openStore())
    const { link, sent, settled } = linkOf(voting)
    link.granted(grant(5))
    expect(sent).toEqual([])
    await settled()
    link.held()
    await settled()
    expect(sent).toMatchObject([
      { n: 5, name: 'b', held: false, whole: false, voters: LIST },
      { n: 5, name: 'b', held: true, whole: false, voters: LIST },
    ])
    link.granted(grant(5, { decides: true }))
    await settled()
    expect(sent.at(-1)).toMatchObject({ held: true, whole: true })
    expect([voting.n, voting.isWhole, voting.list]).toEqual([5, true, LIST])
  })

  it('drops a leader of a smaller grant than it took part in, after a restart too', async () => {
    const adapter = new MemoryStorage()
    const store = await openStore({ adapter })
    expect(await votingOn(store).takePart(grant(5), true)).toBe(true)
    await store.close()
    await store.open()
    const again = votingOn(store)
    expect(await again.takePart(grant(4), true)).toBe(false)
    const { link, sent, drops, settled } = linkOf(again)
    link.granted(grant(4))
    await settled()
    expect([sent, drops]).toEqual([[], ['it leads by grant 4, this node took part in 5']])
    link.granted(grant(5))
    await settled()
    expect(sent).toHaveLength(1)
  })

  it('answers nothing to a leader when it takes part in a later grant meanwhile', async () => {
    const voting = votingOn(await openStore())
    const { link, sent, drops, settled } = linkOf(voting)
    link.granted(grant(5))
    await voting.takePart(grant(6), false)
    await settled()
    expect([sent, drops]).toEqual([[], ['it leads by grant 5, this node took part in 6']])
  })

  it('is whole only as long as its log is the one it voted with', async () => {
    const adapter = new MemoryStorage()
    const store = await openStore({ adapter })
    const voting = votingOn(store)
    await voting.takePart(grant(5, { decides: true }), true)
    await store.close()
    await store.open()
    const same = votingOn(store)
    expect(same.isWhole).toBe(true)
    await same.stop()
    // As a restore does it: the log begins its epochs anew.
    await store.saveMeta(new Map([['epochs', JSON.stringify([['new', 0]])]]))
    expect([votingOn(store).isWhole, votingOn(store).n]).toEqual([false, 5])
  })

  it('is whole by a list that is being founded only when the leader holds all', async () => {
    const voting = votingOn(await openStore())
    const founding = grant(1, { founds: true, voters: { ...LIST, isFounding: true } })
    await voting.takePart(founding, false)
    expect(voting.isWhole).toBe(false)
    await voting.takePart(founding, true)
    expect(voting.isWhole).toBe(true)
  })

  it('tells the leader of records that it refused', async () => {
    const { link, sent, counts, settled } = linkOf(votingOn(await openStore()))
    link.granted(grant(5))
    await settled()
    link.answered()
    counts.refused = 2
    link.answered()
    await settled()
    expect(sent.map(({ refused }) => refused)).toEqual([0, 2])
  })

  it('takes no older list for a later one', async () => {
    const voting = votingOn(await openStore())
    await voting.takePart(grant(5), false)
    await voting.takePart(grant(5, { voters: { ...LIST, change: 1, voters: ['x'] } }), false)
    expect(voting.list).toEqual(LIST)
  })
})
