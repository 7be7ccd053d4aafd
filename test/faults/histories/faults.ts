/** Faults that a round may meet, each of which lasts a while and is over when it resolves. */
import { setTimeout as delay } from 'node:timers/promises'
import type { SeededRandom } from '../../support/seeded-random.ts'
import type { LinkProxy, Way } from './proxy.ts'
import type { HistoryRecord } from './record.ts'
import type { Member, World } from './world.ts'

export interface FaultContext {
  readonly world: World
  readonly record: HistoryRecord
  readonly random: SeededRandom
}

export type Fault = (context: FaultContext) => Promise<void>

const WAYS: readonly Way[] = ['cut', 'stalled', 'half-open', 'one-way', 'slow']
const MAX_FAULT_MS = 3500

/** How long a fault lasts. */
export function lasts(random: SeededRandom, maxMs: number = MAX_FAULT_MS): Promise<void> {
  return delay(200 + random.below(maxMs))
}

/** Makes a way bad for a while. */
export async function spoil(
  { record, random }: FaultContext,
  proxy: LinkProxy,
  name: string,
): Promise<void> {
  const way = random.pick(WAYS)
  record.event(way, name)
  proxy.set(way)
  await lasts(random)
  if (!random.chance(0.7)) return
  record.event('open', name)
  proxy.set('open')
}

/** The way of a follower to its leader is bad. */
export const badLink: Fault = async (context) => {
  const followers = context.world.nodes.filter((node) => node.leader !== undefined)
  const node = context.random.pick(followers)
  await spoil(context, node.link, `${node.name} to ${node.leader?.name}`)
}

/** Links are good for a while: between faults, what they have left is repaired. */
export const allGood: Fault = async ({ world, record, random }) => {
  for (const node of world.nodes) for (const proxy of node.proxies()) proxy.set('open')
  record.event('open', 'all')
  await lasts(random)
}

export const killed: Fault = async ({ world, random }) => {
  const node = random.pick(world.nodes)
  await node.kill()
  await lasts(random, 1500)
  await node.start()
}

export const allKilled: Fault = async ({ world }) => {
  await Promise.all(world.nodes.map((node) => node.kill()))
  await Promise.all(world.nodes.map((node) => node.start()))
}

export const stopped: Fault = async ({ world, random }) => {
  const node = random.pick(world.nodes)
  await node.stop()
  await lasts(random, 1500)
  await node.start()
}

export const frozen: Fault = async ({ world, random }) => {
  const node = random.pick(world.nodes)
  node.freeze()
  await lasts(random)
  node.thaw()
}

/** A follower is started again with its leader's address in another spelling. */
export const spelledOtherwise: Fault = async ({ world, random }) => {
  const node = random.pick(world.nodes.filter(({ leader }) => leader !== undefined))
  await node.stop()
  await node.follow(node.leader, random.pick(['localhost', '127.0.0.1']))
  await node.start()
}

/** Loses its disk, and is killed for it. */
export async function loseDisk(node: Member): Promise<void> {
  await node.kill()
  await node.wipe()
  await node.start()
}

/** Picks faults, one after the other, until the time is over. */
export async function disturb(
  context: FaultContext,
  faults: readonly Fault[],
  untilMs: number,
): Promise<number> {
  let count = 0
  while (performance.now() < untilMs) {
    await context.random.pick(faults)(context)
    count += 1
  }
  return count
}
