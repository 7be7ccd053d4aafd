/**
 * Random histories of a cluster and the guarantees they must keep, checked from outside: at the
 * end all nodes are equal, and no acknowledged write is lost except to a later one of its key.
 */
import { versionOf } from '../../src/core/entry.ts'
import { isStateError } from '../../src/core/errors.ts'
import type { SeededRandom } from '../support/seeded-random.ts'
import type { NodePlan, VirtualNode } from './world.ts'
import { World } from './world.ts'

export interface Faults {
  /** Crashes may lose unsynced batches, as a power cut does. */
  readonly powerCuts: boolean
  /** Batches may fail to be written. */
  readonly diskErrors: boolean
  /** Disks may be lost. */
  readonly lostDisks: boolean
  /** Single records on disk may be damaged. */
  readonly bitRot: boolean
}

const KEYS = [{ path: 'settings' }, { path: 'items/*' }, { path: 'users/*/posts/*' }]

/** One leader and two followers. */
export const STAR: readonly NodePlan[] = [
  { host: 'leader', keys: KEYS },
  { host: 'f1', keys: KEYS, follows: 'leader' },
  { host: 'f2', keys: KEYS, follows: 'leader' },
]

/** Edge below region below centre, and a second edge. */
export const TREE: readonly NodePlan[] = [
  { host: 'centre', keys: KEYS },
  { host: 'region', keys: KEYS, follows: 'centre' },
  { host: 'edge1', keys: KEYS, follows: 'region' },
  { host: 'edge2', keys: KEYS, follows: 'region' },
]

const KILLS: Faults = { powerCuts: false, diskErrors: false, lostDisks: false, bitRot: false }
const DISK_ERRORS: Faults = { ...KILLS, diskErrors: true }
const POWER_CUTS: Faults = { ...KILLS, powerCuts: true }
const LOST_DISKS: Faults = { ...KILLS, powerCuts: true, diskErrors: true, lostDisks: true }
const BIT_ROT: Faults = { ...KILLS, diskErrors: true, bitRot: true }

/** Every kind of history that is run. */
export const HISTORIES: readonly {
  readonly name: string
  readonly plans: readonly NodePlan[]
  readonly faults: Faults
}[] = [
  { name: 'a leader and two followers, processes killed', plans: STAR, faults: KILLS },
  { name: 'a tree of three levels, processes killed', plans: TREE, faults: KILLS },
  { name: 'a leader and two followers, disk errors', plans: STAR, faults: DISK_ERRORS },
  { name: 'a tree of three levels, disk errors', plans: TREE, faults: DISK_ERRORS },
  { name: 'a leader and two followers, power cuts', plans: STAR, faults: POWER_CUTS },
  { name: 'a leader and two followers, power cuts, lost disks', plans: STAR, faults: LOST_DISKS },
  { name: 'a tree of three levels, power cuts, lost disks', plans: TREE, faults: LOST_DISKS },
  { name: 'a leader and two followers, damaged records', plans: STAR, faults: BIT_ROT },
  { name: 'a tree of three levels, damaged records', plans: TREE, faults: BIT_ROT },
]

const WRITABLE = [
  'settings',
  'items/a',
  'items/b',
  'items/c-1',
  'users/u/posts/p',
  'users/v/posts/q',
]
const DELETABLE = [...WRITABLE, 'items/*', 'users/*/posts/*']

/** Runs the history of `seed`. Throws, naming what broke, when a guarantee does not hold. */
export async function runScenario(
  seed: number,
  plans: readonly NodePlan[],
  faults: Faults,
): Promise<World> {
  const world = new World(seed, plans)
  const acknowledged = new Map<string, bigint>()
  const note = (key: string, version: bigint): void => {
    if (version > (acknowledged.get(key) ?? 0n)) acknowledged.set(key, version)
  }
  await world.start()
  const steps = 20 + world.random.below(60)
  for (let i = 0; i < steps; i++) await step(world, faults, note)
  await world.converge()
  if (faults.bitRot) await world.complete(assertRepaired(world))
  else if (!faults.powerCuts && !faults.lostDisks) {
    await world.complete(assertNothingLost(world, acknowledged))
  }
  return world
}

async function step(
  world: World,
  faults: Faults,
  note: (key: string, version: bigint) => void,
): Promise<void> {
  const { random, network, time } = world
  const node = random.pick(world.nodes)
  const roll = random.next()
  if (roll < 0.5) write(node, random, note)
  else if (roll < 0.75) await time.advanceAsync(random.below(random.chance(0.2) ? 8000 : 300))
  else if (roll < 0.82) network.cut(node.host, random.pick(world.nodes).host)
  else if (roll < 0.88) network.healAll()
  else if (roll < 0.97) await crashOrStart(world, node, faults)
  else if (roll < 0.98) node.disk.failures += faults.diskErrors ? 1 + random.below(3) : 0
  else if (roll < 0.985) blackout(world, faults)
  else if (roll < 0.99) node.skewMs += random.below(2000) - 1000
  else if (faults.bitRot) node.disk.rot((rows) => random.pick(rows))
  else if (faults.lostDisks && node.up) {
    // A wipe during quiet times only: what was acknowledged there alone would be lost for good.
    node.crash()
    node.disk.wipe()
    await tryStart(node)
  }
}

/** Answers that are no acknowledgement: the process died, the key was absent, the disk failed. */
const REFUSALS = ['not_open', 'not_found', 'storage_failed'] as const

/** Fires a write without waiting for it, so that writes, crashes and deliveries interleave. */
function write(
  node: VirtualNode,
  random: SeededRandom,
  note: (key: string, version: bigint) => void,
): void {
  const { store } = node
  if (store === undefined) return
  const ignoreDead = (error: unknown): void => {
    if (!REFUSALS.some((code) => isStateError(error, code))) throw error
  }
  if (random.chance(0.3)) {
    store.delete(random.pick(DELETABLE)).catch(ignoreDead)
    return
  }
  const key = random.pick(WRITABLE)
  const durability = random.chance(0.6) ? undefined : random.pick(['memory', 'disk'] as const)
  const written = random.chance(0.2)
    ? store.push('items/*', String(random.below(1000)), { durability })
    : store.set(key, `{"by":"${node.host}","n":${random.below(1000)}}`, { durability })
  written
    .then((result) => {
      // What was answered before it was written may be lost with the process.
      if (durability !== 'memory') note(result.key, result.version)
    })
    .catch(ignoreDead)
}

/** The power of the whole site goes: every node stops at once, each losing what it had not synced. */
function blackout({ nodes, random }: World, { powerCuts }: Faults): void {
  if (!powerCuts) return
  for (const node of nodes) if (node.up) node.crash(random.below(node.disk.unsynced + 1))
}

/** A process that cannot write at its start ends; it is started again later. */
async function tryStart(node: VirtualNode): Promise<void> {
  try {
    await node.start()
  } catch (error) {
    if (!isStateError(error, 'storage_failed')) throw error
    node.crash()
  }
}

async function crashOrStart(world: World, node: VirtualNode, faults: Faults): Promise<void> {
  const { random } = world
  if (!node.up) await tryStart(node)
  else if (random.chance(0.3)) await world.complete(node.stop())
  else node.crash(faults.powerCuts ? random.below(node.disk.unsynced + 1) : 0)
}

/** No node is left with a damaged record that another node holds. */
async function assertRepaired(world: World): Promise<void> {
  for (const node of world.nodes) {
    for (const key of node.store?.damaged() ?? []) {
      for (const other of world.nodes) {
        if (!(await other.records()).has(key)) continue
        throw new Error(`${node.host} did not get back ${key}, which ${other.host} holds`)
      }
    }
  }
}

async function assertNothingLost(
  world: World,
  acknowledged: ReadonlyMap<string, bigint>,
): Promise<void> {
  for (const node of world.nodes) {
    const records = await node.records()
    for (const [key, version] of acknowledged) {
      const record = records.get(key)
      if (record === undefined || versionOf(record) < version) {
        throw new Error(`${node.host} lost the write of ${key} acknowledged as ${version}`)
      }
    }
  }
}
