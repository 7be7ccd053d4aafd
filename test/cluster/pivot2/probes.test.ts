/** How many probes of 2.0 nodes there are, at once and in time. */
import * as net from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { ProbePace } from '../../../cluster/pivot2/nodes/probe-pace.ts'
import { Turns } from '../../../cluster/stream/turns.ts'
import { NS_PER_SECOND } from '../../../src/core/ports/time.ts'
import { waitFor } from '../../support/wait.ts'
import { startOwn } from './own-node.ts'

test('a node that is away for long is probed less and less often, and in each round once it answers', () => {
  const pace = new ProbePace()
  const dueAfter = (seconds: bigint): boolean => pace.isDue(seconds * NS_PER_SECOND)
  for (let i = 0; i < 10; i++) pace.ended(false)
  expect(dueAfter(0n)).toBe(true)
  const waits = [6n, 12n, 24n, 48n, 96n, 96n]
  for (const wait of waits) {
    pace.ended(false)
    expect([wait, dueAfter(wait - 1n), dueAfter(wait)]).toEqual([wait, false, true])
  }
  pace.ended(true)
  expect(dueAfter(0n)).toBe(true)
})

test('so many run at once, the others in turn, also after one that failed', async () => {
  const turns = new Turns(2)
  const events: string[] = []
  const ends = new Map<string, (error?: Error) => void>()
  const work = (name: string): Promise<void> =>
    turns.run(() => {
      events.push(name)
      return new Promise<void>((resolve, reject) => {
        ends.set(name, (error) => (error === undefined ? resolve() : reject(error)))
      })
    })
  const all = ['a', 'b', 'c', 'd'].map(work)
  const settled = Promise.allSettled(all)
  expect(events).toEqual(['a', 'b'])
  ends.get('a')?.(new Error('a failed'))
  await waitFor(() => events.length === 3)
  ends.get('b')?.()
  await waitFor(() => events.length === 4)
  expect(events).toEqual(['a', 'b', 'c', 'd'])
  ends.get('c')?.()
  ends.get('d')?.()
  expect((await settled).map(({ status }) => status)).toEqual([
    'rejected',
    ...Array(3).fill('fulfilled'),
  ])
})

test('of many listed nodes that are silent at most 32 are dialled at once', async () => {
  const open = new Set<net.Socket>()
  let most = 0
  const silent = net.createServer((socket) => {
    open.add(socket)
    most = Math.max(most, open.size)
    socket.on('error', () => undefined)
    socket.on('close', () => open.delete(socket))
  })
  const port = await new Promise<number>((resolve) => {
    silent.listen(0, '0.0.0.0', () => {
      const address = silent.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  onTestFinished(() => {
    for (const socket of open) socket.destroy()
    silent.close()
  })
  const lists = Array.from({ length: 100 }, (_, i) => ({ address: `127.0.1.${i + 1}:${port}` }))
  await startOwn({ lists })
  await waitFor(() => open.size === 32)
  // Answering some lets others have their turn.
  for (const socket of [...open].slice(0, 10)) socket.destroy()
  await waitFor(() => open.size === 32)
  expect(most).toBe(32)
})
