/** What a node keeps of its votes, and what it says to leaders over a link. */
import { describe, expect, it } from 'vitest'
import { Voting } from '../../../cluster/election/voters/voting.ts'
import { FollowerVoting } from '../../../cluster/follower/voting.ts'
import type { JudgeOptions } from '../../../cluster/progress/missed-deletes.ts'
import type { VoterList } from '../../../src/core/voter-list.ts'
import type { Grant, Vote } from '../../../src/core/wire/voting.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { openStore } from '../../support/store.ts'

const LIST: VoterList = { voters: ['a', 'b', 'c'], lease: 3, change: 2 }
const grant = (n: number, more: Partial<Grant> = {}): Grant => ({
  ...{ t: 'grant', n, decides: false, founds: false, voters: LIST },
  ...more,
})

function votingOn(store: ReplicationStore): Voting {
  const voting = new Voting({ store, name: 'b' })
  voting.start()
  return voting
}

type Judge = JudgeOptions['store']
const PLACE = { epoch: 'x1', seq: 10 }
/** When the leader was in step there, milliseconds; deletes of later than that may be forgotten. */
const HEARD_MS = 500_000
const RETENTION_MS = 80_000
/** An eighth of that: what is noted may be so much too late. */
const LATE_MS = 10_000
const NOTHING_KNOWN: Judge = {
  canResume: () => false,
  meta: () => undefined,
  retention: { floor: 0, forgotten: 0n },
}
/** Has led with the log of `PLACE`, and has forgotten deletes up to `forgottenMs`, up to seq 20. */
const ledBefore = (forgottenMs: number): Judge => ({
  ...NOTHING_KNOWN,
  canResume: ({ epoch }) => epoch === PLACE.epoch,
  retention: { floor: 20, forgotten: BigInt(forgottenMs) * 1_000_000n },
})

/** A link that notes what it sends, and why it was dropped. */
function linkOf(voting: Voting, store: Judge = NOTHING_KNOWN, isComparing = true) {
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
    ...{ store, identity: { scopes: ['items/*'] }, retentionMs: RETENTION_MS },
    limits: { beatIntervalMs: 1000, maxSilentBeats: 3 },
    isComparing: () => isComparing,
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

describe('a leader that has missed deletes', () => {
  const places = [{ place: PLACE, seen: null, heardMs: HEARD_MS }]
  const isRefused = async (judge: Judge, ...more: unknown[]): Promise<boolean> => {
    const [told = places, isComparing = true, hasYielded = false] = more
    const voting = votingOn(await openStore())
    voting.hasYielded = hasYielded === true
    const { link, sent, drops, settled } = linkOf(voting, judge, isComparing === true)
    link.granted(grant(5, { places: told as typeof places }))
    await settled()
    const isMissed = sent[0]?.missed === true
    expect(sent).toMatchObject([{ n: 5, held: false }])
    // It takes no part, so it stays free to take part in any later grant.
    expect([drops.length, voting.n]).toEqual(isMissed ? [1, 0] : [0, 5])
    return isMissed
  }

  it('is told so by one that knows them, which takes nothing from it', async () => {
    expect(await isRefused(ledBefore(HEARD_MS - LATE_MS + 1))).toBe(true)
    // Of its own log a leader does not know when it was in step.
    expect(await isRefused(ledBefore(1), [{ place: PLACE, seen: null }])).toBe(true)
    expect(await isRefused(ledBefore(0), [{ place: PLACE, seen: null }])).toBe(false)
  })

  it('is followed where nothing is known of what it was in step with', async () => {
    expect(await isRefused(NOTHING_KNOWN)).toBe(false)
    const elsewhere = [{ place: { epoch: 'u', seq: 1 }, seen: null, heardMs: 1 }]
    expect(await isRefused(ledBefore(HEARD_MS - LATE_MS + 1), elsewhere)).toBe(false)
  })

  it('is followed when all that is forgotten is older than when it was in step with anybody', async () => {
    expect(await isRefused(ledBefore(HEARD_MS - LATE_MS))).toBe(false)
    const later = [...places, { place: { epoch: 'u', seq: 1 }, seen: null, heardMs: HEARD_MS + 1 }]
    expect(await isRefused(ledBefore(HEARD_MS - LATE_MS + 1), later)).toBe(false)
  })

  it('is followed by one that is in step with it, and by one that has yielded itself', async () => {
    expect(await isRefused(ledBefore(HEARD_MS - LATE_MS + 1), places, false)).toBe(false)
    expect(await isRefused(ledBefore(HEARD_MS - LATE_MS + 1), places, true, true)).toBe(false)
  })

  it('is judged again by one that has yielded once a leader holds all of that', async () => {
    const voting = votingOn(await openStore())
    voting.hasYielded = true
    await voting.takePart(grant(5), false)
    expect(voting.hasYielded).toBe(true)
    await voting.takePart(grant(5), true)
    expect(voting.hasYielded).toBe(false)
  })
})
