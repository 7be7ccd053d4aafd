/** Room that is handed out in the order in which it was asked for. */
import { expect, it } from 'vitest'
import { FairQueue } from '../../../src/server/turns/fair-queue.ts'

const queueOf = (maxBytes: number, maxWaiting = 10): FairQueue =>
  new FairQueue({ maxBytes, maxWaiting, what: 'merges' })

/** Whether a promise has settled by the next turn. */
async function isSettled(promise: Promise<void> | undefined): Promise<boolean> {
  let settled = promise === undefined
  promise?.then(() => {
    settled = true
  })
  await new Promise(setImmediate)
  return settled
}

it('gives room at once while there is some, and in order then', async () => {
  const queue = queueOf(100)
  const first = queue.enter(60)
  expect(first.entered).toBeUndefined()
  const large = queue.enter(80)
  const small = queue.enter(10)
  expect(await isSettled(large.entered)).toBe(false)
  // There would be room for it, and the large one would never get any.
  expect(await isSettled(small.entered)).toBe(false)
  first.leave()
  expect(await isSettled(large.entered)).toBe(true)
  expect(await isSettled(small.entered)).toBe(true)
  expect(queue.bytes).toBe(90)
  large.leave()
  large.leave()
  small.leave()
  expect(queue.bytes).toBe(0)
})

it('meets a wish beyond the limit alone', async () => {
  const queue = queueOf(100)
  const small = queue.enter(1)
  const huge = queue.enter(1000)
  expect(await isSettled(huge.entered)).toBe(false)
  small.leave()
  expect(await isSettled(huge.entered)).toBe(true)
  expect(queue.enter(1).entered).toBeDefined()
})

it('lets those behind go on when one leaves without having entered', async () => {
  const queue = queueOf(100)
  const first = queue.enter(60)
  const large = queue.enter(100)
  const small = queue.enter(10)
  large.leave()
  expect(await isSettled(small.entered)).toBe(true)
  expect(queue.bytes).toBe(70)
  first.leave()
  small.leave()
  expect(queue.bytes).toBe(0)
})

it('refuses when too many wait, naming the limit', () => {
  const queue = queueOf(100, 2)
  for (let i = 0; i < 3; i++) queue.enter(100)
  expect(() => queue.enter(1)).toThrow('ooo: 2 merges wait for room, the limit is 2')
  expect(queue.refused).toBe(1)
})
