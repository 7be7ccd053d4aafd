/** What a leader puts on the bus, and what a follower makes of what comes from there. */
import { describe, expect, test } from 'vitest'
import { BusListener } from '../../../../cluster/bus/listener.ts'
import { MemoryBus } from '../../../../cluster/bus/memory.ts'
import { BusPublisher, cutBatches } from '../../../../cluster/bus/publisher.ts'
import { openSealed, sealText } from '../../../../cluster/bus/seal.ts'
import { planPlacement } from '../../../../cluster/members/placement.ts'
import type { Commit } from '../../../../src/core/data/entry.ts'
import { SILENT_LOGGER } from '../../../../src/core/ports/logger.ts'
import { type Batch, decodeBatch, encodeBatch } from '../../../../src/core/wire/bus.ts'
import type { Bus } from '../../../../src/fanout/bus.ts'
import type { SequencedRow } from '../../../../src/store/format/rows.ts'
import { entry, tombstone, LIMITS as USUAL } from '../../../cluster/fixtures.ts'
import { damage } from '../../../cluster/fuzz-frames.ts'
import { FakeTime } from '../../../support/fake-time.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'

const LIMITS = { ...USUAL, busMarkIntervalMs: 100, busMessageBytes: 600, messageRecords: 4 }

describe('a seal', () => {
  test('opens with its key and channel, and with nothing else', () => {
    const sealed = sealText('key', 'channel', 'text é\u0000')
    expect(openSealed('key', 'channel', sealed)).toBe('text é\u0000')
    expect(openSealed('kez', 'channel', sealed)).toBeUndefined()
    expect(openSealed('key', 'channem', sealed)).toBeUndefined()
    for (let i = 0; i < sealed.length; i++) {
      const other = sealed[i] === 'x' ? 'y' : 'x'
      const changed = sealed.slice(0, i) + other + sealed.slice(i + 1)
      expect(openSealed('key', 'channel', changed)).toBeUndefined()
    }
    for (const short of ['', 'x', sealed.slice(0, 43), 'é'.repeat(43)]) {
      expect(openSealed('key', 'channel', short)).toBeUndefined()
    }
  })
})

describe('a part of the log as messages', () => {
  test('has no gap, keeps the bounds, and holds the newest record of each key or says that it does not', () => {
    for (let seed = 1; seed <= 500; seed++) {
      const random = new SeededRandom(seed)
      const from = random.below(100)
      const to = from + 1 + random.below(30)
      const rows: SequencedRow[] = []
      for (let seq = from + 1; seq <= to; seq++) {
        if (random.chance(0.2)) continue
        const size = random.chance(0.1) ? 1000 : random.below(300)
        rows.push({ seq, record: entry(`items/${random.below(8)}`, seq, `"${'x'.repeat(size)}"`) })
      }
      const batches = cutBatches({ epoch: 'e', from, to, rows }, LIMITS)
      expect(batches[0]?.from, `seed ${seed}`).toBe(from)
      expect(batches.at(-1)?.to, `seed ${seed}`).toBe(to)
      for (const [i, batch] of batches.entries()) {
        expect(batch.to).toBeGreaterThan(batch.from)
        if (i > 0) expect(batch.from).toBe(batches[i - 1]?.to)
        const within = rows.filter(({ seq }) => seq > batch.from && seq <= batch.to)
        if (batch.records === undefined) {
          expect(within).toHaveLength(1)
          continue
        }
        expect(batch.records.length).toBeLessThanOrEqual(LIMITS.messageRecords)
        const newest = new Map(within.map(({ record }) => [record.key, record]))
        expect(new Map(batch.records.map((record) => [record.key, record]))).toEqual(newest)
        expect(decodeBatch(encodeBatch(batch))).toEqual(batch)
      }
    }
  })
})

/** A publisher whose bus notes what it is given, and takes it or not. */
function publisher(takes: () => boolean = () => true) {
  const store = { id: 'leader', epoch: 'e1', head: 10 }
  const time = new FakeTime()
  const sealed: { channel: string; text: string }[] = []
  const failures: number[] = []
  const memory = new MemoryBus().connect('x')
  const bus: Bus = {
    subscribe: (...wish) => memory.subscribe(...wish),
    status: () => memory.status(),
    close: () => memory.close(),
    publish: (channel, text) => {
      if (takes()) sealed.push({ channel, text })
      return takes()
    },
  }
  const it = new BusPublisher({
    bus,
    store,
    placement: planPlacement([{ path: 'items/*' }], undefined, 'nodes/*'),
    time,
    limits: LIMITS,
    newId: () => 'secret',
    failed: () => failures.push(sealed.length),
  })
  const { key } = it.invitation
  const said = (): (Batch | undefined)[] =>
    sealed.splice(0).map(({ channel, text }) => {
      const opened = openSealed(key, channel, text)
      return opened === undefined ? undefined : decodeBatch(opened)
    })
  const commit = (...keys: string[]): void => {
    store.head += keys.length
    const changes = keys.map((changed) => ({
      key: changed,
      before: undefined,
      after: changed.endsWith('gone') ? tombstone(changed, 1) : entry(changed, store.head),
    }))
    it.committed({ seq: store.head, changes, source: undefined } satisfies Commit)
  }
  return { it, store, time, said, commit, failures }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a publisher', () => {
  test('says nothing while nobody can listen', async () => {
    const { it, said, commit, time } = publisher()
    commit('items/a')
    await turn()
    await time.advanceAsync(500)
    expect(said()).toEqual([])
    it.joined()
    expect(said()).toEqual([{ epoch: 'e1', from: 11, to: 11, records: [] }])
    it.left()
    commit('items/b')
    await turn()
    await time.advanceAsync(500)
    expect(said()).toEqual([])
  })

  test('puts the commits of one turn into one message, without what is not replicated', async () => {
    const { it, said, commit } = publisher()
    it.joined()
    said()
    commit('items/a', 'secret')
    commit('items/a', 'items/gone')
    await turn()
    expect(said()).toMatchObject([
      {
        from: 10,
        to: 14,
        records: [
          { key: 'items/a', created: 14n },
          { kind: 'tombstone', key: 'items/gone' },
        ],
      },
    ])
    expect(it.report()).toMatchObject({ batches: 1, rows: 2, notices: 0 })
  })

  test('leaves a gap where no commit told of a part, and begins anew in another epoch', async () => {
    const { it, store, said, commit } = publisher()
    it.joined()
    said()
    commit('items/a')
    store.head += 5
    commit('items/b')
    await turn()
    expect(said()).toMatchObject([
      { from: 10, to: 11 },
      { from: 16, to: 17 },
    ])
    const { channel } = it.invitation
    commit('items/c')
    store.epoch = 'e2'
    commit('items/d')
    await turn()
    expect(it.invitation.channel).not.toBe(channel)
    expect(said().map((batch) => batch?.epoch)).toContain('e2')
  })

  test('tells once that the bus takes nothing, tries with marks only, and goes on when it does', async () => {
    let takes = true
    const { it, said, commit, time, failures } = publisher(() => takes)
    it.joined()
    said()
    takes = false
    for (let i = 0; i < 5; i++) {
      commit('items/a')
      await turn()
    }
    await time.advanceAsync(1000)
    expect(failures).toHaveLength(1)
    expect(it.report().isFailing).toBe(true)
    takes = true
    await time.advanceAsync(LIMITS.busMarkIntervalMs)
    expect(said()).toEqual([{ epoch: 'e1', from: 15, to: 15, records: [] }])
    commit('items/b')
    await turn()
    expect(said()).toMatchObject([{ from: 15, to: 16 }])
    expect(failures).toHaveLength(1)
  })

  test('asks for an acknowledgement once, after what is to be acknowledged', async () => {
    const { it, said, commit } = publisher()
    it.joined()
    said()
    commit('items/a')
    it.ask(11)
    it.ask(11)
    it.ask(9)
    await turn()
    expect(said()).toMatchObject([
      { from: 10, to: 11 },
      { from: 11, to: 11, ack: 11 },
    ])
    it.ask(11)
    await turn()
    expect(said()).toEqual([])
  })
})

describe('a listener', () => {
  test('outlives whatever is on the channel, and counts it', async () => {
    const bus = new MemoryBus()
    const invitation = { channel: 'c', key: 'k' }
    const heard: Batch[] = []
    const listener = new BusListener({
      leader: 'l',
      bus: bus.connect('f'),
      time: new FakeTime(),
      limits: LIMITS,
      logger: SILENT_LOGGER,
      heard: (batch) => heard.push(batch),
      lost: () => undefined,
      tick: () => undefined,
    })
    listener.invited(invitation)
    await turn()
    const speaker = bus.connect('s')
    const whole = { epoch: 'e', from: 1, to: 2, records: [['items/a', 'o', '1', '0', '{"a":1}']] }
    const count = 3000
    for (let seed = 1; seed <= count; seed++) {
      const text = damage(new SeededRandom(seed), whole, 0.1)
      speaker.publish('c', seed % 3 === 0 ? text : sealText('k', 'c', text))
    }
    await turn()
    const { received, refused } = listener.report()
    expect(received).toBe(count)
    expect(refused + heard.length).toBe(count)
    expect(heard.length).toBeGreaterThan(100)
    for (const { from, to } of heard) expect(to).toBeGreaterThanOrEqual(from)
    listener.stop()
    expect(listener.report().state).toBe('none')
  })
})
