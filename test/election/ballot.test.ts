/** The ballot of a leader with a real store, on a clock that the test moves. */
import { describe, expect, it } from 'vitest'
import { Ballot } from '../../cluster/election/ballot.ts'
import type { Lapse } from '../../cluster/election/voters-report.ts'
import { Voting } from '../../cluster/election/voting.ts'
import { SILENT_LOGGER } from '../../src/core/logger.ts'
import type { Grant } from '../../src/core/protocol-voting.ts'
import { FakeTime } from '../support/fake-time.ts'
import { openStore } from '../support/store.ts'
import { waitFor } from '../support/wait.ts'

interface Rig {
  readonly warnings: readonly string[]
  readonly time: FakeTime
  readonly ballot: Ballot
  /** Of its lease; none at first. */
  readonly lapse: { now: Lapse | undefined }
  /** A node with this name connects, and holds nothing that the leader has not. */
  join(name: string, node?: string): { left(): void }
}

/** A leader `a`; @param founders of its list, else it begins one for itself. */
async function rig(founders?: readonly string[]): Promise<Rig> {
  const time = new FakeTime()
  const voting = new Voting({ store: await openStore(), name: 'a' })
  voting.start()
  const warnings: string[] = []
  const lapse: { now: Lapse | undefined } = { now: undefined }
  const logger = { ...SILENT_LOGGER, warn: (text: string) => void warnings.push(text) }
  const ballot: Ballot = new Ballot({
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
  return { warnings, time, ballot, join, lapse }
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
