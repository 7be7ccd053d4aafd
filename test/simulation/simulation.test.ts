import { describe, expect, test } from 'vitest'
import type { History } from './history.ts'
import { STAR } from './kinds.ts'
import { failureOf, generate, KINDS, play, shrink, simulate, tellHistory } from './simulation.ts'
import { World } from './world.ts'

/** What the kinds of histories are made for; each must happen, or they prove nothing. */
const EXPECTED = [
  'full comparisons',
  'records pushed again',
  'lost messages',
  'batches lost in power cuts',
  'failed starts',
  'damaged records',
  'restored backups',
  'records that vanished',
  'messages lost on the bus',
  'outages of the bus',
  'decisions',
  'decisions that a majority held',
  'decisions refused until voters have voted',
  'changes of the voters',
]

async function traceOf(history: History): Promise<string> {
  const world: World = await play(history)
  return JSON.stringify([world.network.carried, [...world.counts], world.statuses()])
}

describe('the simulation', () => {
  test('plays the same history the same way', async () => {
    for (const kind of KINDS) {
      const [first, second] = [generate(kind, 77), generate(kind, 77)]
      expect(second).toEqual(first)
      expect(await traceOf(second)).toBe(await traceOf(first))
    }
  })

  test('plays a history that went through a file the same way', async () => {
    for (const kind of KINDS) {
      const history = generate(kind, 78)
      const copy = JSON.parse(JSON.stringify(history)) as History
      expect(await traceOf(copy)).toBe(await traceOf(history))
    }
  })

  test('brings about the faults it is made for', { timeout: 120_000 }, async () => {
    const happened = new Set<string>()
    const missing = (): string[] => EXPECTED.filter((what) => !happened.has(what))
    for (let seed = 1; seed <= 15 && missing().length > 0; seed++) {
      for (const kind of KINDS) {
        for (const what of (await simulate(kind, seed)).counts.keys()) happened.add(what)
      }
    }
    expect(missing()).toEqual([])
  })

  test('notices a write that is lost although it was acknowledged', async () => {
    const steps = [
      { t: 'set', node: 'f1', key: 'settings', n: 1 },
      { t: 'wait', ms: 100 },
    ] as const
    const history: History = { kind: 'made', seed: 1, noise: 1, plans: STAR, steps }
    expect(await failureOf(history)).toBeUndefined()
    const world = await play(history)
    const records = (await world.node('f1')?.records()) ?? new Map()
    const held = records.get('settings')
    if (held?.kind !== 'entry') throw new Error('the write is not there')
    const { causality } = world.witness
    const later = { ...held, data: '{}' }
    causality.wrote(later, [causality.opOf(held)])
    world.witness.acknowledge(later, false)
    expect(() => world.witness.check('f1', () => true, records, 0n)).toThrow('lost settings {}')
  })

  test('goes on when a process dies while it stops', async () => {
    const plan = { host: 'a', keys: [{ path: 'settings' }], elects: true }
    const world = new World(1, [plan])
    await world.start()
    const node = world.node('a')
    if (node === undefined) throw new Error('there is no such node')
    for (let i = 0; i < 100 && !node.decides; i++) await world.time.advanceAsync(100)
    expect(node.decides).toBe(true)
    const stopped = node.stop()
    // It waits for the answer to the lease that it gives up.
    await world.time.advanceAsync(0)
    node.crash()
    await world.complete(stopped)
    await node.start()
    await world.complete(node.store?.set('settings', '{}') ?? Promise.reject(new Error('not up')))
    await world.converge()
    expect([...(await node.records()).keys()]).toContain('settings')
  })

  test('cuts a failing history down to what makes it fail', async () => {
    const kind = KINDS.find(({ name }) => name === 'tree, bad links')
    if (kind === undefined) throw new Error('there is no such kind')
    // Made up: it fails whenever a delete comes after a cut, whatever else happens.
    const fails = async ({ steps }: History): Promise<Error | undefined> => {
      const cut = steps.findIndex(({ t }) => t === 'cut')
      const isBad = cut !== -1 && steps.slice(cut).some(({ t }) => t === 'delete')
      return isBad ? new Error('made up') : undefined
    }
    const history = generate(kind, 3)
    const found = await shrink(history, fails)
    expect(found?.history.steps.map(({ t }) => t)).toEqual(['cut', 'delete'])
    expect(found?.history.plans.length).toBeLessThan(history.plans.length)
    expect(tellHistory(found?.history ?? history)).toContain('2. delete')
    expect(await shrink({ ...history, steps: [] }, fails)).toBeUndefined()
  })
})
