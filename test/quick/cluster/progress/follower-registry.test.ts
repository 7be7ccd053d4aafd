import { describe, expect, test } from 'vitest'
import { FollowerRegistry } from '../../../../cluster/progress/follower-registry.ts'
import type { Logger } from '../../../../src/core/ports/logger.ts'
import { MemoryStorage } from '../../../../storage-adapters/memory/memory.ts'
import { openStore } from '../../../support/store.ts'

const FOLLOWER = { id: 'f', name: 'edge', scopes: ['items/*'] }

async function setUp(adapter = new MemoryStorage(), livedMs = 1000) {
  const store = await openStore({ adapter })
  const at = { ms: 1000, livedMs }
  const told: string[] = []
  const tell = (message: string): void => void told.push(message)
  const logger: Logger = { debug: tell, info: tell, warn: tell, error: tell }
  const registry = new FollowerRegistry({
    store,
    nowMs: () => at.ms,
    livedMs: () => at.livedMs,
    logger,
  })
  return { store, at, told, registry, adapter }
}

describe('how far all followers are', () => {
  test('is infinite without any, and the least of them with some', async () => {
    const { store, registry } = await setUp()
    for (let i = 0; i < 5; i++) await store.set('a', String(i))
    expect(registry.passed).toBe(Number.POSITIVE_INFINITY)
    registry.joined(FOLLOWER, { epoch: store.epoch, seq: 3 })
    const other = registry.joined({ ...FOLLOWER, id: 'g' }, { epoch: store.epoch, seq: 1 })
    expect(registry.passed).toBe(1)
    other.passed(5)
    expect(registry.passed).toBe(3)
  })

  test('is nothing while one compares, also once it is away', async () => {
    const { store, registry } = await setUp()
    await store.set('a', '1')
    registry.joined(FOLLOWER, { epoch: store.epoch, seq: 1 })
    const comparing = registry.joined({ ...FOLLOWER, id: 'g' }, null)
    expect(registry.passed).toBe(0)
    comparing.left()
    expect(registry.passed).toBe(0)
  })

  test('is nothing for a place that is not on the log', async () => {
    const { registry } = await setUp()
    registry.joined(FOLLOWER, { epoch: 'unknown', seq: 3 })
    expect(registry.passed).toBe(0)
  })
})

describe('forgetting', () => {
  test('takes those away and silent for too long, and says so', async () => {
    const { store, at, told, registry } = await setUp()
    const position = { epoch: store.epoch, seq: 0 }
    registry.joined({ ...FOLLOWER, id: 'stays' }, position)
    registry.joined(FOLLOWER, position).left()
    at.livedMs += 500
    registry.forgetSilent(500)
    expect(registry.list()).toHaveLength(2)
    at.livedMs += 1
    registry.forgetSilent(500)
    expect(registry.list().map(({ id }) => id)).toEqual(['stays'])
    expect(told).toHaveLength(1)
  })

  test('takes nobody because the clock says that much time has passed', async () => {
    const { store, at, registry } = await setUp()
    registry.joined(FOLLOWER, { epoch: store.epoch, seq: 0 }).left()
    at.ms += 315_576_000_000
    registry.forgetSilent(500)
    at.ms = 0
    registry.forgetSilent(500)
    expect(registry.list()).toHaveLength(1)
    at.livedMs += 501
    registry.forgetSilent(500)
    expect(registry.list()).toHaveLength(0)
  })

  test('a follower that is connected twice is away when both have ended', async () => {
    const { store, at, registry } = await setUp()
    const position = { epoch: store.epoch, seq: 0 }
    const first = registry.joined(FOLLOWER, position)
    const second = registry.joined(FOLLOWER, position)
    first.left()
    first.left()
    at.livedMs += 1000
    registry.forgetSilent(500)
    expect(registry.list()).toHaveLength(1)
    second.left()
    registry.forgetSilent(500)
    expect(registry.list()).toHaveLength(0)
  })

  test('beyond the bound takes the longest silent of those away', async () => {
    const { store, at, registry } = await setUp()
    const position = { epoch: store.epoch, seq: 0 }
    for (let i = 0; i < 1005; i++) {
      at.livedMs++
      const { left } = registry.joined({ ...FOLLOWER, id: `f${i}` }, position)
      if (i !== 0) left()
    }
    const ids = registry.list().map(({ id }) => id)
    expect(ids).toHaveLength(1000)
    expect(ids[0]).toBe('f0')
    expect(ids).not.toContain('f1')
  })
})

test('what is saved is there after a restart, and only changes are written', async () => {
  const { store, at, registry, adapter } = await setUp()
  await store.set('a', '1')
  registry.joined(FOLLOWER, null).passed(1)
  await registry.save()
  const { epoch } = store
  const saved = store.meta('followers')
  at.ms += 5
  await registry.save()
  expect(store.meta('followers')).toBe(saved)
  await store.close()
  const again = await setUp(adapter)
  expect(again.registry.list()).toEqual([
    { ...FOLLOWER, cursor: { epoch, seq: 1 }, lastContactMs: 1000 },
  ])
  expect(again.registry.passed).toBe(1)
})

test('silence goes on over restarts, and begins anew where no lived time was noted', async () => {
  const { store, at, registry, adapter } = await setUp()
  registry.joined(FOLLOWER, { epoch: store.epoch, seq: 0 }).left()
  at.livedMs += 400
  registry.joined({ ...FOLLOWER, id: 'earlier' }, null).left()
  await registry.save()
  const rows = JSON.parse(store.meta('followers') ?? '[]') as { contactLivedMs?: number }[]
  expect(rows.map(({ contactLivedMs }) => contactLivedMs)).toEqual([1000, 1400])
  if (rows[1] !== undefined) delete rows[1].contactLivedMs
  await store.saveMeta(new Map([['followers', JSON.stringify(rows)]]))
  await store.close()
  const again = await setUp(adapter, 1501)
  again.registry.forgetSilent(500)
  expect(again.registry.list().map(({ id }) => id)).toEqual(['earlier'])
  await again.registry.save()
  const [row] = JSON.parse(again.store.meta('followers') ?? '[]') as { contactLivedMs?: number }[]
  expect(row?.contactLivedMs).toBe(1501)
})

test('a follower last heard of when this node had lived longer than it knows of is not kept for that', async () => {
  const { store, at, registry, adapter } = await setUp()
  at.livedMs = 1_000_000
  registry.joined(FOLLOWER, { epoch: store.epoch, seq: 0 }).left()
  await registry.save()
  await store.close()
  const again = await setUp(adapter, 10)
  again.at.livedMs += 501
  again.registry.forgetSilent(500)
  expect(again.registry.list()).toEqual([])
})
