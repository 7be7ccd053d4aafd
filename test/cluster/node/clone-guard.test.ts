/** Whom a leader lets in, by the incarnations that hellos name. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CloneGuard } from '../../../cluster/incarnation/clone-guard.ts'
import { ERROR_TABLE } from '../../../src/core/errors.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import type { Hello } from '../../../src/core/wire/protocol.ts'
import { incarnationsOf } from '../../../src/store/recovery/incarnations.ts'
import { EngineRig, type RigNode } from '../../support/engine-rig.ts'
import { helloOf, RawPeer } from '../raw-peer.ts'

const CLONE = ERROR_TABLE.duplicate_node.closeCode

let rig: EngineRig
let leader: RigNode

beforeEach(async () => {
  rig = new EngineRig()
  leader = await rig.add({ host: 'leader' })
})
afterEach(() => rig.close())

function dial(
  incarnations: readonly string[] | undefined,
  at = '192.0.2.1',
  changes = {},
): RawPeer {
  const peer = new RawPeer(leader, at)
  peer.say(helloOf({ id: 'shop-1', ...(incarnations && { incarnations }), ...changes }))
  return peer
}

const addresses = (): string[] => leader.engine.followers().map(({ address }) => address)

describe('a node that was started again', () => {
  it('is let in while its old connection lingers, which is ended', () => {
    const before = dial(['a'])
    const after = dial(['b', 'a'], '192.0.2.2')
    expect(before.closedWith?.reason).toBe('the node was started again')
    expect(after.heard).toEqual(['welcome', 'terms'])
    expect(addresses()).toEqual(['192.0.2.2'])
    expect(leader.engine.status().clones).toEqual([])
  })

  it('may have two connections of one incarnation', () => {
    dial(['a'])
    const second = dial(['a'])
    expect(second.closedWith).toBeUndefined()
    expect(addresses()).toHaveLength(2)
  })
})

describe('a clone', () => {
  it('is refused once both have been there, with both addresses, and told nothing else', () => {
    dial(['b', 'a'], '192.0.2.1', { url: 'http://192.0.2.1:8800' })
    const clone = dial(['c', 'a'], '192.0.2.2', { url: 'http://192.0.2.2:8801' })
    const reason = 'clone: 192.0.2.2:8801 has the id of 192.0.2.1:8800'
    expect(clone.closedWith).toEqual({ code: CLONE, reason })
    expect(clone.sent).toEqual([])
    expect(addresses()).toEqual(['192.0.2.1'])
    const { clones, refusals, registered } = leader.engine.status()
    expect(clones).toMatchObject([
      { id: 'shop-1', at: '192.0.2.2:8801', other: '192.0.2.1:8800', name: 'stranger' },
    ])
    expect(refusals.counts).toEqual({ duplicate_node: 1 })
    expect(registered.map(({ id }) => id)).toEqual(['shop-1'])
  })

  it('is let in once its id has been forgotten, which it is not while that node is connected', async () => {
    const first = dial(['b', 'a'], '192.0.2.1')
    leader.engine.forget('shop-1')
    expect(dial(['c', 'a'], '192.0.2.2').closedWith?.code).toBe(CLONE)
    first.cut()
    expect(dial(['c', 'a'], '192.0.2.2').closedWith?.code).toBe(CLONE)
    expect(leader.engine.forget('shop-1')?.id).toBe('shop-1')
    expect(dial(['c', 'a'], '192.0.2.2').closedWith).toBeUndefined()
  })

  it('is refused when it comes back after its copy has replaced it', () => {
    dial(['a'], '192.0.2.1')
    dial(['b', 'a'], '192.0.2.2')
    const original = dial(['a'], '192.0.2.1')
    expect(original.closedWith?.reason).toBe('clone: 192.0.2.1 has the id of 192.0.2.2')
  })

  it('that names nothing known waits until the other one is gone, and is told of no more', () => {
    const first = dial(['a'], '192.0.2.1')
    expect(dial(['r'], '192.0.2.2').closedWith?.code).toBe(CLONE)
    expect(leader.engine.status().clones).toHaveLength(1)
    first.cut()
    expect(dial(['r'], '192.0.2.2').closedWith).toBeUndefined()
    expect(leader.engine.status().clones).toEqual([])
    expect(dial(['a'], '192.0.2.1').closedWith?.code).toBe(CLONE)
  })

  it('of the leader is refused by it', () => {
    const { id } = leader.store
    const [own = ''] = incarnationsOf(leader.store)
    const clone = dial(['other', own], '192.0.2.2', { id })
    expect(clone.closedWith?.reason).toBe('clone: 192.0.2.2 has the id of this node')
    expect(dial([own], '192.0.2.3', { id }).closedWith).toBeUndefined()
  })

  it('is shown for ten minutes after it was last refused', () => {
    dial(['b', 'a'])
    dial(['c', 'a'], '192.0.2.2')
    rig.time.advance(599_000)
    expect(leader.engine.status().clones).toHaveLength(1)
    rig.time.advance(2_000)
    expect(leader.engine.status().clones).toEqual([])
  })
})

describe('a node that tells no incarnation', () => {
  it('is let in as before', () => {
    dial(['b', 'a'])
    const older = dial(undefined, '192.0.2.2')
    expect(older.closedWith).toBeUndefined()
    expect(dial(['c', 'b', 'a']).closedWith).toBeUndefined()
    expect(older.closedWith).toBeUndefined()
  })
})

describe('what a leader remembers', () => {
  const hello = (id: string, incarnations: readonly string[]): Hello =>
    helloOf({ id, incarnations }) as Hello
  const stream = { address: '192.0.2.1', end: () => undefined }

  class Meta {
    readonly id = 'leader'
    readonly rows = new Map<string, string>()
    saves = 0
    fails = false
    meta(name: string): string | undefined {
      return this.rows.get(name)
    }
    async saveMeta(meta: ReadonlyMap<string, string>): Promise<void> {
      this.saves++
      if (this.fails) throw new Error('no room')
      for (const [name, value] of meta) this.rows.set(name, value)
    }
  }

  const guardOver = (store: Meta): CloneGuard =>
    new CloneGuard({ store, url: undefined, nowMs: () => 0, logger: SILENT_LOGGER })

  it('outlives its restart', async () => {
    const store = new Meta()
    const before = guardOver(store)
    before.enter(hello('shop-1', ['b', 'a']), stream)
    await before.stop()
    const after = guardOver(store)
    expect(after.enter(hello('shop-1', ['c', 'a']), stream)).toContain('has the id of 192.0.2.1')
    expect(after.enter(hello('shop-1', ['c', 'b', 'a']), stream)).toBeTypeOf('object')
  })

  it('is written once for nodes that come together, and again after it could not be', async () => {
    const store = new Meta()
    const guard = guardOver(store)
    for (let i = 0; i < 100; i++) guard.enter(hello(`shop-${i}`, ['a']), stream)
    await guard.stop()
    expect(store.saves).toBeLessThanOrEqual(2)
    store.fails = true
    guard.enter(hello('shop-0', ['b', 'a']), stream)
    await guard.stop()
    store.fails = false
    guard.enter(hello('shop-1', ['b', 'a']), stream)
    await guard.stop()
    const again = guardOver(store)
    expect(again.enter(hello('shop-0', ['c', 'a']), stream)).toBeTypeOf('string')
  })

  it('is of a bounded number of nodes: those let in longest ago are forgotten', async () => {
    const store = new Meta()
    const guard = guardOver(store)
    for (let i = 0; i < 1001; i++) guard.enter(hello(`shop-${i}`, ['b', 'a']), stream)
    await guard.stop()
    const kept = JSON.parse([...store.rows.values()][0] ?? '[]') as { id: string }[]
    expect(kept).toHaveLength(1000)
    expect(kept[0]?.id).toBe('shop-1')
  })
})
