/** Candidates for one lease, on clocks that drift and a network that fails. */
import { afterEach, describe, expect, it } from 'vitest'
import { Election } from '../../../cluster/election/election.ts'
import type { ElectionDecision } from '../../../cluster/election/state.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import type { TimeSource } from '../../../src/core/ports/time.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { LeaseServer, leaseOver } from '../../support/virtual-lease.ts'

/** One candidate: its process can be frozen, its requests delayed or lost, its clock too fast or slow. */
class Candidate {
  readonly election: Election
  readonly decisions: ElectionDecision[] = []
  readonly url: string
  isCut = false
  #frozen: (() => void)[] | undefined
  readonly #world: FakeTime
  readonly #rate: number

  constructor(
    world: FakeTime,
    server: LeaseServer,
    random: SeededRandom,
    name: string,
    { rate = 1, seen = 0, slowMs = 0, at = name } = {},
  ) {
    this.#world = world
    this.#rate = rate
    this.url = `http://${at}:1`
    const self = { id: name.split('-')[0] ?? name, url: this.url }
    const pass = (): Promise<void> =>
      new Promise((resolve, reject) => {
        const isLost = this.isCut
        world.after(random.below(20) + (random.chance(0.05) ? slowMs : 0), () =>
          this.#awake(isLost || this.isCut ? () => reject(new Error('lost')) : resolve),
        )
      })
    this.election = new Election({
      lease: leaseOver(server, { ...self, session: name }, pass),
      self,
      time: this.time,
      random: random.next,
      logger: SILENT_LOGGER,
      seen,
      decision: (decision) => this.decisions.push(decision),
    })
    this.election.start()
  }

  get time(): TimeSource {
    const world = this.#world
    return {
      wallNs: () => world.wallNs(),
      monotonicNs: () => BigInt(Math.round(Number(world.monotonicNs()) * this.#rate)),
      after: (delayMs, callback) => world.after(delayMs / this.#rate, () => this.#awake(callback)),
    }
  }

  /** Nothing of the process runs until `thaw`. */
  freeze(): void {
    this.#frozen ??= []
  }

  thaw(): void {
    const late = this.#frozen ?? []
    this.#frozen = undefined
    for (const run of late) run()
  }

  #awake(run: () => void): void {
    if (this.#frozen === undefined) run()
    else this.#frozen.push(run)
  }

  get last(): ElectionDecision | undefined {
    return this.decisions.at(-1)
  }
}

let candidates: Candidate[] = []
afterEach(() => {
  candidates = []
})

function trio(seed = 1, options: { rate?: number; slowMs?: number } = {}) {
  const world = new FakeTime()
  const server = new LeaseServer(world)
  const random = new SeededRandom(seed)
  const add = (name: string, more = {}): Candidate => {
    const candidate = new Candidate(world, server, random, name, { ...options, ...more })
    candidates.push(candidate)
    return candidate
  }
  return { world, server, random, add }
}

const leaders = (): Candidate[] => candidates.filter(({ election }) => election.leads)

/** Exactly one leads, and all others know it. */
function agreed(live: readonly Candidate[] = candidates): boolean {
  const [leader, ...others] = live.filter(({ election }) => election.leads)
  if (leader === undefined || others.length > 0) return false
  return live.every((candidate) => {
    const decision = candidate.last
    if (candidate === leader) return decision?.kind === 'leader'
    return decision?.kind === 'follower' && decision.holder.url === leader.url
  })
}

describe('an election', () => {
  it('makes one of the candidates the leader, and the others know it', async () => {
    const { world, add } = trio()
    for (const name of ['a', 'b', 'c']) add(name)
    await world.advanceAsync(1000)
    expect(agreed()).toBe(true)
    const [leader] = leaders()
    const report = leader?.election.report()
    expect(report).toMatchObject({ state: 'leader', token: 1, holder: { url: leader?.url } })
    await world.advanceAsync(60_000)
    expect(leaders()).toEqual([leader])
    expect(candidates.map(({ decisions }) => decisions.length)).toEqual([1, 1, 1])
  })

  it('replaces a leader that was killed, by one with a greater number', async () => {
    const { world, add } = trio()
    for (const name of ['a', 'b', 'c']) add(name)
    await world.advanceAsync(3000)
    const [dead] = leaders()
    dead?.freeze()
    const live = candidates.filter((candidate) => candidate !== dead)
    await world.advanceAsync(6000)
    expect(agreed(live)).toBe(true)
    expect(leaders()[0]?.last).toMatchObject({ token: 2 })
  })

  it('is over in a moment when the leader gives up', async () => {
    const { world, add, server } = trio()
    for (const name of ['a', 'b', 'c']) add(name)
    await world.advanceAsync(3000)
    const [old] = leaders()
    const closed = old?.election.close()
    await world.advanceAsync(1300)
    await closed
    expect(agreed(candidates.filter((candidate) => candidate !== old))).toBe(true)
    expect(server.holder?.session).not.toBe(old?.url)
  })

  it('is over in a moment when the leader yields, which runs for the lease again later', async () => {
    const { world, add, server } = trio()
    for (const name of ['a', 'b', 'c']) add(name)
    await world.advanceAsync(3000)
    const [old] = leaders()
    old?.election.yieldLease()
    expect([old?.election.leads, old?.election.report().state]).toEqual([false, 'yielding'])
    await world.advanceAsync(1300)
    const [next] = leaders()
    expect([agreed(), next === old]).toEqual([true, false])
    expect(old?.last).toMatchObject({ kind: 'follower', token: 2 })
    for (const candidate of candidates) if (candidate !== old) candidate.freeze()
    await world.advanceAsync(8000)
    expect([leaders().includes(old as Candidate), server.holder?.url]).toEqual([true, old?.url])
  })

  it('leaves the lease to others for a while, and has it again when nobody wants it', async () => {
    const { world, add } = trio()
    add('a')
    await world.advanceAsync(3000)
    const [alone] = leaders()
    const untilNs = alone?.election.yieldLease() ?? 0n
    expect(untilNs - world.monotonicNs()).toBe(10_000_000_000n)
    await world.advanceAsync(9900)
    expect(leaders()).toEqual([])
    await world.advanceAsync(1500)
    expect(alone?.last).toEqual({ kind: 'leader', token: 2 })
  })

  it('demotes a frozen leader before anything else happens when it goes on', async () => {
    const { world, add } = trio()
    for (const name of ['a', 'b']) add(name)
    await world.advanceAsync(3000)
    const [old] = leaders()
    old?.freeze()
    await world.advanceAsync(3800)
    expect(old?.election.leads).toBe(false)
    await world.advanceAsync(10_000)
    expect(agreed(candidates.filter((candidate) => candidate !== old))).toBe(true)
    old?.thaw()
    expect(old?.election.leads).toBe(false)
    await world.advanceAsync(1000)
    expect(old?.decisions.map(({ kind, token }) => `${kind} ${token}`)).toEqual([
      'leader 1',
      'lapsed 1',
      'follower 2',
    ])
  })

  it('gives the lead back without a new number when the lease was away and nobody else got it', async () => {
    const { world, add } = trio()
    for (const name of ['a', 'b']) add(name)
    await world.advanceAsync(3000)
    const [leader] = leaders()
    for (const candidate of candidates) candidate.isCut = true
    await world.advanceAsync(30_000)
    expect(leaders()).toEqual([])
    expect(leader?.last).toEqual({ kind: 'lapsed', token: 1 })
    if (leader !== undefined) leader.isCut = false
    await world.advanceAsync(1000)
    for (const candidate of candidates) candidate.isCut = false
    await world.advanceAsync(3000)
    expect(leaders()).toEqual([leader])
    expect(leader?.last).toEqual({ kind: 'leader', token: 1 })
    expect(agreed()).toBe(true)
  })

  it('goes on with greater numbers when the lease has lost its memory, and the leader stays', async () => {
    const { world, add, server } = trio()
    for (const name of ['a', 'b', 'c']) add(name, { seen: 41 })
    await world.advanceAsync(8000)
    const [leader] = leaders()
    expect(leader?.last).toEqual({ kind: 'leader', token: 42 })
    server.flush()
    await world.advanceAsync(20_000)
    expect(leaders()).toEqual([leader])
    expect(leader?.decisions).toHaveLength(1)
    leader?.freeze()
    server.flush()
    await world.advanceAsync(12_000)
    expect(leaders()[0]?.last).toEqual({ kind: 'leader', token: 43 })
  })

  it('takes the lease of an earlier life of the same node at once', async () => {
    const { world, add } = trio()
    const first = add('a-1')
    await world.advanceAsync(1000)
    first.freeze()
    candidates = []
    const second = add('a-2', { at: 'a-1' })
    await world.advanceAsync(200)
    expect(second.last).toEqual({ kind: 'leader', token: 2 })
  })

  it('does not take the lease of a node that runs from a copy of its data elsewhere', async () => {
    const { world, add } = trio()
    const first = add('a-1')
    await world.advanceAsync(1000)
    const copy = add('a-2')
    await world.advanceAsync(60_000)
    expect(leaders()).toEqual([first])
    expect(first.decisions).toHaveLength(1)
    expect(copy.last).toMatchObject({ kind: 'follower', holder: { url: first.url } })
    first.freeze()
    await world.advanceAsync(12_000)
    expect(copy.last).toMatchObject({ kind: 'leader' })
  })

  it('gives back a grant whose answer came after it was closed', async () => {
    const { world, add, server } = trio()
    const only = add('a')
    await world.advanceAsync(45)
    const closed = only.election.close()
    await world.advanceAsync(1000)
    await closed
    await world.advanceAsync(100)
    expect(server.holder).toBeUndefined()
  })
})

const SEEDS = 60
const STEPS = 120
const LEASE_MS = 5000

const CLOCKS = [
  ['clocks that agree', 0],
  ['clocks that are up to a tenth too fast or too slow', 0.1],
] as const

describe('through random walks', () => {
  it.each(CLOCKS)(
    'with %s never two lead at once, and one does in the end',
    async (_name, drift) => {
      for (let seed = 1; seed <= SEEDS; seed++) await walk(seed, drift, false)
    },
  )

  it('with a lease that loses its memory two lead for less than a lease, and one in the end', async () => {
    for (let seed = 1; seed <= SEEDS; seed++) await walk(seed, 0.1, true)
  })
})

/** Never two lead at once; when the lease loses its memory, for no longer than a grant is believed in. */
async function walk(seed: number, drift: number, flushes: boolean): Promise<void> {
  candidates = []
  const { world, random, server, add } = trio(seed, { slowMs: 2000 })
  let greatest = 0
  let twoForMs = 0
  let lives = 0
  const join = (): void => {
    add(`n${++lives}`, { rate: 1 + drift * (random.next() * 2 - 1), seen: greatest })
  }
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 50) {
      await world.advanceAsync(50)
      const tokens = leaders().map(({ election }) => election.report().token)
      twoForMs = tokens.length > 1 ? twoForMs + 50 : 0
      expect(twoForMs, `two leaders, seed ${seed}`).toBeLessThanOrEqual(flushes ? LEASE_MS : 0)
      if (!flushes) {
        expect(Math.min(...tokens, Number.MAX_VALUE), `seed ${seed}`).toBeGreaterThanOrEqual(
          greatest,
        )
      }
      greatest = Math.max(greatest, ...tokens)
    }
  }
  for (let i = 0; i < 3; i++) join()
  for (let step = 0; step < STEPS; step++) {
    const one = random.pick(candidates)
    const dice = random.below(14)
    if (dice === 0) one.freeze()
    else if (dice < 3) one.thaw()
    else if (dice === 3) one.isCut = true
    else if (dice < 6) one.isCut = false
    else if (dice === 6 && flushes) server.flush()
    else if (dice === 7 && candidates.length < 5) join()
    await pass(random.below(random.chance(0.2) ? 4000 : 500))
  }
  for (const candidate of candidates) {
    candidate.isCut = false
    candidate.thaw()
  }
  for (let ms = 0; ms < 30_000 && !agreed(); ms += 250) await pass(250)
  expect(agreed(), `agreed, seed ${seed}`).toBe(true)
  const before = greatest
  await pass(10_000)
  expect(greatest, `moved without need, seed ${seed}`).toBe(before)
}
