/**
 * What must hold once everything is healed: all nodes agree, nothing promised is lost, subscribers
 * know what is stored, no table has grown, and the cluster still takes writes.
 */
import { parseOrigin } from '../../src/core/data/origin.ts'
import { ORIGIN_ROW } from '../../src/store/format/identity.ts'
import { metaRow } from '../../src/store/format/rows.ts'
import type { VirtualNode } from './node.ts'
import { configurationOf } from './topology.ts'
import type { World } from './world.ts'

/** Heals everything, waits for agreement and checks. @throws Error naming what does not hold. */
export async function checkEnd(world: World): Promise<void> {
  for (const { disk } of world.nodes) disk.disarm()
  await settleTopology(world)
  await world.converge()
  await checkAll(world)
  await probe(world)
  await world.converge()
  await checkAll(world)
}

/** Every node runs with the configuration of now. */
async function settleTopology(world: World): Promise<void> {
  for (const node of world.nodes) {
    if (!node.up || node.isGone) continue
    const wanted = configurationOf(world.configuration, node.plan)
    if (JSON.stringify(node.configuration) === JSON.stringify(wanted)) continue
    await world.complete(node.stop())
  }
}

async function checkAll(world: World): Promise<void> {
  world.assertRight()
  for (const node of world.nodes) {
    if (!node.up) continue
    const records = await world.complete(node.records())
    world.witness.check(node.host, (key) => node.holds(key), records, world.expired)
    world.decisions.check(node.host, (key) => node.holds(key), records)
    const untold = node.view?.difference(records)
    if (untold !== undefined) throw new Error(untold)
    await assertRepaired(world, node)
    assertBounded(node)
    assertQuiet(node)
  }
  if (!world.mayRepair) assertNothingRepaired(world)
}

/** Nothing was found by comparing that the change log and the outbox should have told. */
function assertNothingRepaired({ nodes }: World): void {
  for (const { host, repairs, warnings } of nodes) {
    if (repairs === 0) continue
    throw new Error(`${host} had to repair ${repairs} times; ${warnings.join('; ')}`)
  }
}

/** No node is left with a damaged record that another node holds. */
async function assertRepaired(world: World, node: VirtualNode): Promise<void> {
  for (const key of node.store?.damaged() ?? []) {
    for (const other of world.nodes) {
      if (other === node || !other.holds(key)) continue
      if (!(await world.complete(other.records())).has(key)) continue
      throw new Error(`${node.host} did not get back ${key}, which ${other.host} holds`)
    }
  }
}

/** Restamps of one node in one history. */
const MAX_GENERATIONS = 60

/** More than a dozen of its own, and three for each of the others of a cluster, which may all have led. */
const MAX_META_ROWS = 32

/** The change log has one row per record, the outbox none, and the other tables what they must. */
function assertBounded({ host, disk, rotten, configuration: { follows } }: VirtualNode): void {
  if (rotten.size > 0) return
  const records = disk.rows('records').length
  // A node that leads now keeps what it owed as a follower, in case it follows again.
  const outbox = follows === undefined ? disk.rows('outbox').length : 0
  const expected = { log: records, outbox, damage: 0 } as const
  for (const [table, count] of Object.entries(expected)) {
    const found = disk.rows(table as keyof typeof expected).length
    if (found !== count) {
      throw new Error(`${host} keeps ${found} rows of ${table} for ${records} records`)
    }
  }
  // Each restamp is another generation of origins: they come to an end.
  const origin = disk.value(metaRow(ORIGIN_ROW))?.split(' ')[1] ?? ''
  const { generation } = parseOrigin(origin)
  if (generation > MAX_GENERATIONS) throw new Error(`${host} writes under ${origin}`)
  const meta = disk.rows('meta').length
  if (meta > MAX_META_ROWS) throw new Error(`${host} keeps ${meta} rows of meta data`)
}

function assertQuiet({ host, engine, store, warnings }: VirtualNode): void {
  for (const { url, state, outbox, refused, lastError } of engine?.status().links ?? []) {
    if (state === 'live' && outbox === 0 && refused === 0) continue
    const figures = `outbox ${outbox}, refused ${refused}, ${lastError}; ${warnings.join('; ')}`
    throw new Error(`${host} is ${state} with ${url}: ${figures}`)
  }
  if (store !== undefined && store.backlog.rows > 0) {
    throw new Error(`${host} has ${store.backlog.rows} rows not written`)
  }
}

/** One more write on every node. */
async function probe(world: World): Promise<void> {
  for (const { host, store, plan } of world.nodes) {
    if (store === undefined) continue
    const path = plan.keys.at(-1)?.path ?? ''
    const key = path.replaceAll('*', `probe-${host}`)
    const data = `{"probe":"${host}"}`
    world.witness.attempt(data, key)
    const { version } = await world.complete(store.set(key, data))
    const origin = store.id
    world.witness.acknowledge(
      { kind: 'entry', key, created: version, updated: 0n, origin, data },
      false,
    )
  }
}
