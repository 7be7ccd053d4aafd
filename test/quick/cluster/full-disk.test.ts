/** Links of nodes whose storage takes nothing, on virtual time. */
import { describe, expect, test } from 'vitest'
import { StateError } from '../../../src/core/errors.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { Engines } from '../../cluster/engines.ts'

/** A storage that can be full. */
class FullStorage extends MemoryStorage {
  isFull = false

  override async batch(...args: Parameters<MemoryStorage['batch']>): Promise<void> {
    if (this.isFull) throw new StateError('storage_full', 'storage: no space left')
    return super.batch(...args)
  }
}

const BIG = JSON.stringify('x'.repeat(20_000))

describe('a node whose disk is full', () => {
  test.each(['follower', 'leader'] as const)(
    '%s: does not dial again and again, and goes on once there is room',
    async (which) => {
      const engines = new Engines()
      const storage = new FullStorage()
      const leader = await engines.add('leader', which === 'leader' ? { storage } : {})
      const follower = await engines.add('follower', {
        follows: 'leader',
        ...(which === 'follower' ? { storage } : {}),
      })
      await engines.untilLive(follower)
      storage.isFull = true
      const other = which === 'follower' ? leader : follower
      await other.store.set('items/a', BIG)
      await engines.time.advanceAsync(10_000)
      engines.sent.length = 0
      engines.warnings.length = 0
      await engines.time.advanceAsync(60_000)
      expect(engines.messages('hello').length).toBeLessThanOrEqual(6)
      expect(engines.bytes()).toBeLessThan(200_000)
      expect(engines.warnings.length).toBeLessThanOrEqual(12)
      expect(follower.link().lastError).toContain(which === 'follower' ? 'this node' : 'the leader')
      storage.isFull = false
      await engines.until(
        () =>
          follower.link().state === 'live' &&
          follower.link().outbox === 0 &&
          follower.link().lagRows === 0,
        'both in step',
        120_000,
      )
    },
  )
})
