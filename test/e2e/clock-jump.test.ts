/** A leader that runs for a while with its clock years ahead, while a follower is away, as real processes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { findFaketime, WrongClock } from '../faults/histories/wrong-clock.ts'
import { waitUntilEqual } from '../support/process-cluster.ts'
import { holdersOf, settle, useClusters } from '../support/trio.ts'
import { waitFor } from '../support/wait.ts'

const TEN_YEARS_S = 3650 * 86_400
/** Old deletes are looked for each eighth of it. */
const RETENTION_S = 80
const LOOK_MS = (RETENTION_S / 8) * 1000
const obstacle = 'libfaketime is needed (Debian: apt install faketime)'
const newCluster = useClusters()
let library: string | undefined
let folder = ''

beforeAll(() => {
  library = findFaketime()
  if (library === undefined && process.env.CI === 'true') throw new Error(obstacle)
  folder = mkdtempSync(join(tmpdir(), 'ooo-jump-'))
}, 300_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
beforeEach((context) => {
  if (library === undefined) context.skip(obstacle)
})

it('keeps its deletes: who returns under another leader brings nothing back', async () => {
  const clock = new WrongClock(library, join(folder, 'clock'))
  const enter = ['env', ...Object.entries(clock.environment).map((pair) => pair.join('='))]
  const cluster = newCluster({ args: ['--tombstone-retention', `${RETENTION_S}s`] })
  const leader = await cluster.start({ name: 'leader', enter })
  const heir = await cluster.start({ name: 'heir', follows: leader })
  const away = await cluster.start({ name: 'away', follows: leader })
  await leader.post('items/gone', 1)
  await settle([leader, heir, away], 'joined')
  await away.stop()
  await leader.delete('items/gone')
  await waitFor(async () => (await holdersOf([leader, heir], 'items/gone')).length === 0)

  await leader.stop()
  clock.set(TEN_YEARS_S)
  await leader.start()
  const lookedNs = process.hrtime.bigint() + BigInt(2 * LOOK_MS) * 1_000_000n
  await waitFor(() => process.hrtime.bigint() > lookedNs, {
    deadlineMs: 3 * LOOK_MS,
    what: 'old deletes to be looked for twice',
  })
  await leader.stop()
  clock.set(0)
  await leader.start()
  await waitUntilEqual([leader, heir])

  await heir.stop()
  await leader.stop()
  heir.follows = undefined
  for (const node of [leader, away]) node.follows = heir
  const all = [heir, leader, away]
  for (const node of all) await node.start()
  await settle(all, 'moved')
  // Comes after what it pushes because the leader has nothing of it.
  await away.post('items/after', 1)
  await waitUntilEqual(all)
  expect(await holdersOf(all, 'items/after')).toHaveLength(3)
  expect(await holdersOf(all, 'items/gone')).toEqual([])
}, 240_000)
