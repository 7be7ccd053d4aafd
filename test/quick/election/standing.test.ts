/** What a lease hears of whether its candidate leads, such as one that labels the leader. */
import { expect, it } from 'vitest'
import { Election } from '../../../cluster/election/election.ts'
import { withPeerKnowledge } from '../../../cluster/election/peer-knowledge.ts'
import { SILENT_LOGGER } from '../../../src/core/ports/logger.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { LeaseServer, leaseOver } from '../../support/virtual-lease.ts'

/** A candidate, and what its lease heard so far. */
function candidate(world: FakeTime, server: LeaseServer, id: string) {
  const heard: boolean[] = []
  const network = { isCut: false }
  const self = { id, url: `http://${id}:1` }
  const pass = async (): Promise<void> => {
    if (network.isCut) throw new Error('cut')
  }
  const lease = {
    ...leaseOver(server, { ...self, session: id }, pass),
    stands: (leads: boolean) => heard.push(leads),
  }
  const calls = { callStranger: () => Promise.reject(new Error('nobody is there')) }
  const random = (): number => 0.5
  const election = new Election({
    lease: withPeerKnowledge({
      lease,
      self,
      peers: async () => [],
      token: undefined,
      calls,
      random,
    }),
    ...{ self, time: world, random, logger: SILENT_LOGGER, seen: 0, decision: () => undefined },
  })
  election.start()
  return { election, heard, network }
}

it('that it does not lead, from the start on and until it is granted', async () => {
  const world = new FakeTime()
  const server = new LeaseServer(world)
  const one = candidate(world, server, 'a')
  expect(one.heard).toEqual([false])
  await world.advanceAsync(2000)
  expect(one.heard).toEqual([false, true])
  const other = candidate(world, server, 'b')
  await world.advanceAsync(2000)
  expect(other.heard.includes(true)).toBe(false)
  await one.election.close()
  await world.advanceAsync(2000)
  expect(one.heard).toEqual([false, true, false])
  expect(other.heard.at(-1)).toBe(true)
  await other.election.close()
})

it('that it does not lead when its lease has lapsed, though nobody else has it', async () => {
  const world = new FakeTime()
  const one = candidate(world, new LeaseServer(world), 'a')
  await world.advanceAsync(2000)
  one.network.isCut = true
  await world.advanceAsync(3000)
  expect(one.election.leads).toBe(true)
  expect(one.heard.at(-1)).toBe(true)
  await world.advanceAsync(2000)
  expect(one.election.leads).toBe(false)
  expect(one.heard.at(-1)).toBe(false)
  one.network.isCut = false
  await world.advanceAsync(2000)
  expect(one.heard).toEqual([false, true, false, true])
  await one.election.close()
})
