/** The ballot of a leader with a real store, on a clock that the test moves. */
import { describe, expect, it } from 'vitest'
import { Ballot } from '../../../cluster/election/voters/ballot.ts'
import type { Lapse } from '../../../cluster/election/voters/report.ts'
import { Voting } from '../../../cluster/election/voters/voting.ts'
import { Yielding } from '../../../cluster/election/voters/yielding.ts'
import { type Logger, SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import type { Grant } from '../../../src/core/wire/voting.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { openStore } from '../../support/store.ts'
import { waitFor } from '../../support/wait.ts'

interface Rig {
  readonly warnings: readonly string[]
  readonly time: FakeTime
  readonly ballot: Ballot
  readonly voting: Voting
  readonly yielding: Yielding | undefined
  /** Of its lease; none at first. */
  readonly lapse: { now: Lapse | undefined }
  /** A node with this name connects, and holds nothing that the leader has not. */
  join(name: string, node?: string): { left(): void }
}

/** A leader `a`; @param founders of its list, else it begins one for itself. */
async function rig(
  founders?: readonly string[],
  makeYielding?: (time: FakeTime, voting: Voting, logger: Logger) => Yielding,
): Promise<Rig> {
  const time = new FakeTime()
  const voting = new Voting({ store: await openStore(), name: 'a' })
  voting.start()
  const warnings: string[] = []
  const lapse: { now: Lapse | undefined } = { now: undefined }
  const logger = { ...SILENT_LOGGER, warn: (text: string) => void warnings.push(text) }
  const yielding = makeYielding?.(time, voting, logger)
  const ballot: Ballot = new Ballot({
    ...(yielding === undefined ? {} : { yielding }),
    ...{ n: 1, voting, marked: '', founders, paths: ['items/*'], time, logger },
    head: () => 0,
    heard: () => undefined,
    lapse: () => lapse.now,
    renewSoon: () => ballot.marked(ballot.mark),
  })
  ballot.begin()
  const join = (name: string, node = `n-${name}`): { left(): void } => {
    const id = `s-${node}`
    const votes: Grant[] = []
    let session: ReturnType<Ballot['join']> | undefined
    const vote = ({ voters, decides, founds }: Grant): void => {
      const whole = decides || (founds && voters !== undefined)
      const { n } = ballot
      const rest = { held: true, durable: true, refused: 0, voters, ceiling: 0n } as const
      session?.voted({ t: 'vote', n, name, whole, ...rest })
    }
    session = ballot.join({
      ...{ id, node, scopes: ['items/*'] },
      cursor: () => 0,
      send: (grant) => {
        votes.push(grant)
        queueMicrotask(() => vote(grant))
      },
    })
    return session
  }
  return { warnings, time, ballot, voting, yielding, join, lapse }
}

const decided = (ballot: Ballot): Promise<unknown> => waitFor(() => ballot.phase === 'deciding')

it('a leader whose lease has lapsed does not decide, whoever has voted', async () => {
  const { ballot, join, lapse } = await rig(['a', 'b'])
  join('b')
  await decided(ballot)
  expect([ballot.report().decides, ballot.reason]).toEqual([true, undefined])
  lapse.now = { sinceMs: 1_767_225_600_000, error: 'out of reach' }
  const reason =
    'the lease of grant 1 has lapsed at 2026-01-01T00:00:00Z: no leader at present (out of reach)'
  expect(ballot.report()).toMatchObject({ decides: false, reason, held: ['a', 'b'] })
  expect(ballot.reason).toBe(reason)
  lapse.now = undefined
  expect(ballot.report().decides).toBe(true)
})

describe('a voter that is added', () => {
  it('is waited for when no node has its name yet, and refused when none comes', async () => {
    const { time, ballot, join } = await rig(['a', 'b'])
    join('b')
    await decided(ballot)
    const late = ballot.change('add', 'd')
    time.advance(9000)
    join('d')
    expect((await late).voters).toEqual(['a', 'b', 'd'])
    const typo = ballot.change('add', 'typo').catch((error: Error) => error.message)
    time.advance(10_000)
    expect(await typo).toMatch(
      /no node named "typo" .*within 10 s.* known: a, b, d; .*--absent .*"absent":true/,
    )
    expect(ballot.list?.voters).toEqual(['a', 'b', 'd'])
  })

  it('may be absent when somebody says so', async () => {
    const { ballot, join } = await rig(['a', 'b'])
    join('b')
    await decided(ballot)
    expect((await ballot.change('add', 'later', { mayBeAbsent: true })).voters).toContain('later')
  })

  it('is no error when it is a voter already, nor is the removal of one that is none', async () => {
    const { ballot, join } = await rig(['a', 'b'])
    join('b')
    await decided(ballot)
    const before = ballot.list
    expect(await ballot.change('add', 'b')).toEqual(before)
    expect(await ballot.change('remove', 'x')).toEqual(before)
  })
})

describe('a leader that begins a list for itself', () => {
  it('waits for two others, and names them', async () => {
    const { ballot, join } = await rig()
    expect([ballot.phase, ballot.reason]).toEqual(['gathering', expect.stringContaining('3 s')])
    join('b')
    join('c')
    await decided(ballot)
    expect(ballot.list?.voters).toEqual(['a', 'b', 'c'])
  })

  it('goes on with those who are there when the time is up', async () => {
    const { time, ballot, join } = await rig()
    join('b')
    await waitFor(() => ballot.report().others?.includes('b'))
    expect(ballot.phase).toBe('gathering')
    time.advance(3000)
    await decided(ballot)
    expect(ballot.list?.voters).toEqual(['a', 'b'])
  })

  it('goes on alone, and takes in who comes later', async () => {
    const { warnings, time, ballot, join } = await rig()
    time.advance(3000)
    await decided(ballot)
    expect(ballot.list?.voters).toEqual(['a'])
    expect(warnings).toEqual([expect.stringContaining('a is the only voter')])
    expect(ballot.report().concerns).toEqual(warnings)
    join('b')
    await waitFor(() => ballot.list?.voters.length === 2)
  })
})

describe('a leader that has missed deletes', () => {
  const PLACES = [{ place: { epoch: 'x1', seq: 1 }, seen: null, heardMs: 1 }]
  const GIVEN_MS = 10_000

  /** @returns grants that a follower was told, and how often the lease was given up. */
  async function missing(founders: readonly string[] = ['a', 'b', 'c']) {
    const given = { times: 0 }
    const made = await rig(founders, (time, voting, logger) => {
      const giveUp = (): bigint => {
        given.times++
        return time.monotonicNs() + BigInt(GIVEN_MS) * 1_000_000n
      }
      return new Yielding({ voting, time, logger, giveUp })
    })
    made.yielding?.begin(PLACES)
    const grants: Grant[] = []
    const refuses = (name: string): void => {
      const session = made.ballot.join({
        ...{ id: `m-${name}`, node: `n-${name}`, scopes: ['items/*'] },
        cursor: () => 0,
        send: (grant) => grants.push(grant),
      })
      const rest = { held: false, whole: true, durable: true, refused: 0, ceiling: 0n } as const
      session.voted({ t: 'vote', n: 1, name, ...rest, voters: undefined, missed: true })
      session.left()
    }
    return { ...made, given, grants, refuses }
  }

  it('gives the lease up once, and leads all the same when nobody took it', async () => {
    const { ballot, time, given, grants, refuses, warnings } = await missing()
    refuses('b')
    refuses('b')
    expect([given.times, grants.map(({ places }) => places)]).toEqual([1, [PLACES, PLACES]])
    expect(ballot.report().concerns?.join()).not.toContain('missed deletes')
    time.advance(GIVEN_MS)
    refuses('b')
    expect([given.times, grants.at(-1)?.places]).toEqual([1, undefined])
    expect(ballot.report().concerns?.[0]).toMatch(/missed deletes that b knows of.*may be back/)
    expect(warnings.filter((text) => text.includes('may be back'))).toHaveLength(1)
  })

  it('keeps the lease when a majority has voted', async () => {
    const { ballot, join, given, grants, refuses } = await missing()
    join('b')
    await decided(ballot)
    refuses('c')
    expect([given.times, grants.at(-1)?.places]).toEqual([0, undefined])
  })

  it('gives it up again only after it was in step with a leader', async () => {
    const { yielding, voting, time, given, grants, refuses } = await missing()
    refuses('b')
    time.advance(GIVEN_MS)
    yielding?.begin(PLACES)
    refuses('b')
    expect([given.times, grants.at(-1)?.places]).toEqual([1, undefined])
    voting.hasYielded = false
    yielding?.begin(PLACES)
    refuses('b')
    expect([given.times, grants.at(-1)?.places]).toEqual([2, PLACES])
  })
})
