/**
 * Processes that write through the store and are killed at random moments, again and again on the
 * same folder. After each the database must stand exactly at some point of the order of
 * operations: not before the newest acknowledged one, where the level promises that.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { difference, readCrashed, standsAt } from './crash-check.ts'
import type { WorkloadState } from './workload.mjs'
import { WriterPool } from './writer-pool.ts'

const SEED = Number(process.env.FAULT_SEED ?? 20_260_101)
const ROUNDS = Number(process.env.KILL_ROUNDS ?? 200)
/** Rounds on one folder before a new one is begun. */
const ROUNDS_PER_FOLDER = 40

describe(`killed processes, seed ${SEED}`, () => {
  let root: string
  const pool = new WriterPool(3)

  beforeAll(async () => {
    await prepareBuild()
    root = await mkdtemp(join(tmpdir(), 'ooo-crash-'))
  }, 300_000)
  afterAll(async () => {
    await pool.close()
    await rm(root, { recursive: true, force: true })
  })

  for (const durability of ['process', 'disk', 'memory'] as const) {
    const promise =
      durability === 'memory' ? 'keep a prefix of the order' : 'lose nothing acknowledged'
    it(`${ROUNDS} killed processes ${promise} and tear no batch, durability ${durability}`, async () => {
      const random = new SeededRandom(SEED)
      let state: WorkloadState = new Map()
      let first = 1
      let operations = 0
      for (let round = 0; round < ROUNDS; round += 1) {
        if (round % ROUNDS_PER_FOLDER === 0) {
          state = new Map()
          first = 1
        }
        const folder = Math.floor(round / ROUNDS_PER_FOLDER)
        const directory = join(root, `${durability}-${folder}`)
        const writer = await pool.take()
        writer.begin({ directory, durability, first })
        // Some are killed while they open, some between two batches, most in the middle of one.
        await writer.acknowledged(random.chance(0.1) ? 0 : 1 + random.below(80))
        if (random.chance(0.5)) await delay(random.next() * 3)
        await writer.kill()
        const acknowledged = writer.last() ?? first - 1
        const least = durability === 'memory' ? first - 1 : acknowledged
        const crashed = await readCrashed(directory)
        const last = standsAt(state, first, least, crashed.state)
        const what = `round ${round}, seed ${SEED}, acknowledged ${acknowledged}`
        expect(crashed.damage, what).toBeUndefined()
        expect(last, `${what}: ${difference(state, first, least, crashed.state)}`).toBeDefined()
        operations += acknowledged - first + 1
        state = crashed.state
        first = (last ?? 0) + 1
      }
      console.log(
        `durability ${durability}: ${ROUNDS} kills, ${operations} operations acknowledged`,
      )
      expect(operations).toBeGreaterThan(ROUNDS)
    }, 900_000)
  }
})
