/** Plays a history on a virtual cluster and checks at its end what clients were promised. */
import type { StoredRecord } from '../../src/core/data/entry.ts'
import { isStateError } from '../../src/core/errors.ts'
import { hasGlob, matchKey } from '../../src/core/keys/key.ts'
import type { ReplicationStore } from '../../src/store/replication-store.ts'
import type { WriteResult } from '../../src/store/types/write.ts'
import { checkEnd } from './checks.ts'
import { decide } from './decide.ts'
import type { VirtualDisk } from './disk.ts'
import type { History, Step } from './history.ts'
import { LEASE_HOST, type VirtualNode } from './node.ts'
import type { View } from './view.ts'
import type { Loss } from './witness.ts'
import { World } from './world.ts'

/** Whether a step may take from a disk what was written, or from a node what it leads. */
function takesFromDisk(step: Step): boolean {
  if ('lost' in step) return step.lost > 0
  return ['wipe', 'restore', 'rot', 'forget', 'leave', 'lead'].includes(step.t)
}

/** Runs a history. Throws, naming what broke, when a guarantee does not hold. */
export async function play(history: History): Promise<World> {
  const world = new World(history.noise, history.plans, history.tombstoneRetentionMs)
  if (history.bus !== undefined) world.putOnBus(history.bus)
  world.hasWrongClocks = history.steps.some((step) => step.t === 'clock' && isGreat(step.ms))
  world.skewMs = skewOf(history)
  world.mayDiverge = history.steps.some(({ t }) => t === 'forget')
  // What a node could not read when it was to be sent is found missing by comparing.
  const has = (name: Step['t']): boolean => history.steps.some(({ t }) => t === name)
  world.mayRepair = world.mayDiverge || has('rot')
  world.hasRoles = has('roles')
  world.keepsDisks = !history.steps.some(takesFromDisk)
  world.keepsDeletes = world.keepsDisks || history.keepsDeletes === true
  world.keepsElected = history.keepsDeletes === true
  await world.start()
  for (const step of history.steps) {
    await take(world, step)
    world.assertRight()
  }
  await checkEnd(world)
  return world
}

/** Whether a step of a clock is more than what clocks do by themselves. */
const isGreat = (ms: number): boolean => Math.abs(ms) > 10_000

/** How far two clocks may come to be apart, milliseconds. */
function skewOf({ steps }: History): number {
  return steps.reduce((sum, step) => sum + (step.t === 'clock' ? Math.abs(step.ms) : 0), 0)
}

type NodeStep = Exclude<Extract<Step, { node: string }>, { t: 'voter' }>

async function take(world: World, step: Step): Promise<void> {
  const { network, time } = world
  switch (step.t) {
    case 'wait':
      return time.advanceAsync(step.ms)
    case 'cut':
      return network.cut(step.from, step.to)
    case 'heal':
      return network.healAll()
    case 'flap':
      return network.flap(step.from, step.to, step.times, step.ms)
    case 'slow':
      return network.slow(step.from, step.to, step.ms)
    case 'reset':
      return network.reset(step.from, step.to)
    case 'blackout':
      for (const node of world.nodes) if (node.up) crash(world, node, step.lost)
      return
    case 'lead':
      return world.lead(step.node)
    case 'widen':
      return world.widen()
    case 'roles':
      return world.assignRoles()
    case 'voter':
      return askForVoter(world, step)
    default: {
      const node = world.node(step.node)
      if (node !== undefined && !node.isGone) await takeAt(world, node, step)
    }
  }
}

async function takeAt(world: World, node: VirtualNode, step: NodeStep): Promise<void> {
  const { network } = world
  switch (step.t) {
    case 'set':
    case 'push':
    case 'delete':
    case 'read':
      return act(world, node, step)
    case 'decide':
      pass(world, node, step)
      return
    case 'isolate':
      for (const { host } of world.nodes) {
        if (host === node.host) continue
        network.cut(host, node.host)
        network.cut(node.host, host)
      }
      return
    case 'freeze':
      return network.cut(node.host, LEASE_HOST)
    case 'start':
      if (!node.up) await tryStart(world, node)
      return
    case 'stop':
      if (node.up) await world.complete(node.stop())
      return
    case 'crash':
      if (node.up) crash(world, node, step.lost)
      return
    case 'crashAfter':
      node.disk.killAfter(step.batches, () => crash(world, node, step.lost))
      return
    case 'reconfigure':
      if (node.up && step.clean) await world.complete(node.stop())
      else if (node.up) crash(world, node, 0)
      return tryStart(world, node)
    case 'diskErrors':
      node.disk.failures += step.batches
      return
    case 'clock':
      node.skewMs += step.ms
      return
    case 'clockAhead':
      node.skewMs = step.ms
      return
    case 'drift':
      node.driftPpm += step.ppm
      return
    case 'setClock':
      node.skewMs = 0
      node.driftPpm = 0
      return
    case 'follow':
      return world.move(node.host, step.leader)
    case 'respell':
      return world.respell(node.host)
    default:
      return harm(world, node, step)
  }
}

/** A node that does not lead passes on what is to be decided to the one that does. */
function pass(world: World, node: VirtualNode, { key, n }: Extract<Step, { t: 'decide' }>): void {
  const leader = node.decides ? node : (world.nodes.find(({ decides }) => decides) ?? node)
  decide(world, leader, key, `{"n":${n}}`).catch((error: unknown) => world.fail(error))
}

/** Whoever decides is asked; a change that can not be made now, or takes too long, is none. */
function askForVoter(world: World, { how, node }: Extract<Step, { t: 'voter' }>): void {
  const leader = world.nodes.find(({ decides }) => decides)
  const host = world.node(node)?.host ?? node
  leader?.ballot?.change(how, host).then(
    () => world.count('changes of the voters'),
    (error: unknown) => {
      if (!isStateError(error, 'undecided') && !isStateError(error, 'invalid_option'))
        world.fail(error)
    },
  )
}

/** What takes away what was written, or puts other things in its place. */
async function harm(
  world: World,
  node: VirtualNode,
  step: Extract<
    NodeStep,
    { t: 'wipe' | 'image' | 'restore' | 'downgrade' | 'rot' | 'forget' | 'leave' | 'lead' }
  >,
): Promise<void> {
  const { disk } = node
  switch (step.t) {
    case 'wipe':
      crash(world, node, 0)
      disk.wipe()
      node.rotten.clear()
      lost(world, 'disk', node)
      return tryStart(world, node)
    case 'image':
      return disk.takeImage()
    case 'restore':
      if (node.up) crash(world, node, 0)
      if (!(await disk.restoreImage())) return
      world.count('restored backups')
      lost(world, 'disk', node)
      return tryStart(world, node)
    case 'downgrade':
      if (!node.up) disk.downgrade()
      return
    case 'rot': {
      // What is written but not answered yet would be promised after it was damaged.
      await world.time.advanceAsync(0)
      const key = disk.rot((rows) => rows[Math.floor(step.which * rows.length)] ?? '')
      if (key === undefined) return
      world.count('damaged records')
      node.rotten.add(key)
      return lost(world, 'disk', node)
    }
    case 'forget': {
      const key = disk.forget((rows) => rows[Math.floor(step.which * rows.length)] ?? '')
      if (key === undefined) return
      world.count('records that vanished')
      return lost(world, 'disk', node)
    }
    case 'leave':
      if (node.up) await world.complete(node.stop())
      if ([...world.configuration.topology.values()].includes(node.host)) return
      node.isGone = true
      return lost(world, 'disk', node)
    case 'lead':
      return
  }
}

/** The process dies and loses that part of what it had not synced. */
function crash(world: World, node: VirtualNode, part: number): void {
  const batches = Math.floor(part * (node.disk.unsynced + 1))
  node.crash(batches)
  if (batches === 0) return
  world.count('batches lost in power cuts')
  lost(world, 'power', node)
}

function lost(world: World, loss: Loss, { host: place }: VirtualNode): void {
  const nodes = world.nodes.filter((node) => !node.isGone)
  // What a node stores for itself is no copy of what others replicate.
  const copies = (key: string): readonly VirtualDisk[] =>
    nodes.filter((node) => node.holds(key)).map(({ disk }) => disk)
  try {
    world.witness.lost(copies, loss, world.expired)
    const diskOf = (voter: string) => nodes.find(({ host }) => host === voter)?.disk
    world.decisions.lost(diskOf, loss, place)
  } catch (error) {
    // The disk calls this in the middle of a batch, whose process would take it for a disk error.
    world.fail(error)
  }
}

/** A process that cannot write at its start, or dies then, ends; it is started again later. */
async function tryStart(world: World, node: VirtualNode): Promise<void> {
  try {
    await node.start()
  } catch (error) {
    if (!isStateError(error, 'storage_failed') && !isStateError(error, 'not_open')) throw error
    world.count('failed starts')
    node.crash()
  }
}

/** Answers that are no acknowledgement: the process died, the key was absent, the disk failed. */
const REFUSALS = ['not_open', 'not_found', 'storage_failed', 'corrupt_record'] as const

type Action = Extract<Step, { t: 'set' | 'push' | 'delete' | 'read' }>

/** Begins without waiting for the end, so that actions, crashes and deliveries interleave. */
function act(world: World, node: VirtualNode, action: Action): void {
  const { store, view } = node
  if (store === undefined || view === undefined) return
  // The dead answer nobody, and what is not replicated is nobody else's.
  const isPromise = (key: string): boolean => node.store === store && node.holds(key)
  // Only where faults take nothing back, and one top stays, is what it has deleted gone for good.
  const isFixed = node.plan.elects !== true || world.keepsElected
  const isTop = isFixed && world.keepsDeletes && node.placement.upstreams.size === 0
  perform(world, { store, view, isPromise, isTop }, action).catch((error: unknown) => {
    if (!REFUSALS.some((code) => isStateError(error, code))) world.fail(error)
  })
}

/** Text that differs in every place, so that a value put together wrongly is another one. */
function dataOf(action: Extract<Action, { t: 'set' | 'push' }>): string {
  const size = action.t === 'set' ? (action.size ?? 0) : 0
  if (size === 0) return `{"n":${action.n}}`
  let text = ''
  for (let i = 0; text.length < size; i++) text += `${action.n}.${i} `
  return `{"n":${action.n},"text":"${text.slice(0, size)}"}`
}

interface Actor {
  readonly store: ReplicationStore
  readonly view: View
  /** Whether what is answered for a key is to be kept. */
  readonly isPromise: (key: string) => boolean
  /** The node follows nobody. */
  readonly isTop: boolean
}

async function perform(
  { witness, hasWrongClocks, nodes }: World,
  { store, view, isPromise, isTop }: Actor,
  action: Action,
): Promise<void> {
  if (action.t === 'read') return view.read(action.key)
  const { key, durability } = action
  // What was answered before it was written may be lost with the process.
  const acknowledge = (record: StoredRecord): void => {
    if (durability === 'memory' || !isPromise(record.key)) return
    witness.acknowledge(record, durability === 'disk')
  }
  if (action.t === 'delete') {
    const from = view.own.length
    const { deleted } = await store.delete(key, { durability })
    const tombstones = view.own.slice(from).filter((record) => {
      const fits = hasGlob(key) ? matchKey(key, record.key) : record.key === key
      return fits && record.kind === 'tombstone'
    })
    if (tombstones.length < deleted) {
      throw new Error(`${deleted} of ${key} deleted, ${tombstones.length} were told`)
    }
    for (const record of tombstones) {
      acknowledge(record)
      // What somebody still owes comes up again, however long it takes.
      const isPending = nodes.some(({ disk }) => disk.isPending(record.key))
      if (isTop && durability !== 'memory' && !isPending) witness.bury(record)
    }
    return
  }
  const data = dataOf(action)
  witness.attempt(data, key)
  const latest = hasWrongClocks ? 0n : view.latest
  const write =
    action.t === 'set'
      ? store.set(key, data, { durability })
      : store.push(key, data, { durability })
  const written: WriteResult = await write
  if (written.version <= latest) {
    throw new Error(`${key} was stamped ${written.version} when ${latest} had been seen`)
  }
  acknowledge({
    kind: 'entry',
    key: written.key,
    created: written.version,
    updated: 0n,
    origin: store.id,
    data,
  })
}
