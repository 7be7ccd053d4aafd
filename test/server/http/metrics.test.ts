import { expect, it } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import { serve } from '../serve.ts'

it('metrics count what fan-out sent, in how many writes, and what it did not send', async () => {
  const node = await serve()
  const client = await node.subscribe('/a/*')
  await Promise.all([1, 2, 3].map((n) => node.post(`/a/${n}`, `${n}`)))
  await client.frame(3)
  const { body } = await node.get('/-/metrics')
  const value = (name: string): number =>
    Number(new RegExp(`^ooo_${name} (\\d+)$`, 'm').exec(body)?.[1] ?? Number.NaN)
  expect(value('fanout_frames_total')).toBe(4)
  expect(value('fanout_snapshots_total')).toBe(1)
  expect(value('fanout_writes_total')).toBeGreaterThanOrEqual(2)
  expect(value('fanout_writes_total')).toBeLessThanOrEqual(4)
  for (const name of ['fanout_frames_dropped', 'fanout_catch_ups', 'slow_consumers_closed']) {
    expect(value(`${name}_total`)).toBe(0)
  }
  expect([value('pools'), value('workers_ready'), value('workers_lost_total')]).toEqual([1, 0, 0])
  client.socket.close()
  await waitFor(async () => (await node.get('/-/metrics')).body.includes('ooo_pools 0\n'))
})
