/**
 * Power cuts: processes that write through a layer which remembers what was synced (`unsynced.c`)
 * are killed, and the folder is made what a power cut would have left. With durability `disk` every
 * acknowledged operation must be there; with `process` some are lost, which shows that the layer bites.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { installWithApt } from '../support/apt.ts'
import { prepareBuild } from '../support/built.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { difference, readCrashed, standsAt } from './crash-check.ts'
import { cutPower, noteFolder } from './power-cut.ts'
import type { WorkloadState } from './workload.mjs'
import { WriterPool } from './writer-pool.ts'

const SEED = Number(process.env.FAULT_SEED ?? 20_260_101)
const ROUNDS = Number(process.env.POWER_ROUNDS ?? 60)
const ROUNDS_PER_FOLDER = 15

const compiler = findCompiler()

describe.skipIf(compiler === undefined)(`power cuts, seed ${SEED}`, () => {
  let root: string
  let pool: WriterPool
  let writers = 0
  /** Environment of a process behind the layer, with a journal of its own. */
  let layerEnv: () => NodeJS.ProcessEnv

  beforeAll(async () => {
    await prepareBuild()
    root = await mkdtemp(join(tmpdir(), 'ooo-power-'))
    const layer = join(root, 'unsynced.so')
    const source = join(import.meta.dirname, 'unsynced.c')
    execFileSync(compiler ?? '', ['-O1', '-shared', '-fPIC', '-o', layer, source, '-ldl'])
    await mkdir(join(root, 'graves'))
    await mkdir(join(root, 'data'))
    layerEnv = () => ({
      ...process.env,
      LD_PRELOAD: layer,
      UNSYNCED_ROOT: join(root, 'data'),
      UNSYNCED_GRAVES: join(root, 'graves'),
      UNSYNCED_JOURNAL: join(root, `journal-${++writers}`),
    })
    pool = new WriterPool(2, layerEnv)
  }, 300_000)
  afterAll(async () => {
    await pool?.close()
    await rm(root, { recursive: true, force: true })
  })

  /** Writes, cuts the power, and puts what is left in the folder's place. Gives the number last acknowledged. */
  const round = async (
    directory: string,
    durability: 'process' | 'disk',
    first: number,
    random: SeededRandom,
  ): Promise<number> => {
    const writer = await pool.take()
    const before = await noteFolder(directory)
    writer.begin({ directory, durability, first })
    await writer.acknowledged(random.chance(0.1) ? 0 : 1 + random.below(250))
    await writer.kill()
    const target = `${directory}.left`
    await cutPower({
      directory,
      target,
      graves: join(root, 'graves'),
      journal: writer.env.UNSYNCED_JOURNAL ?? '',
      before,
      random,
    })
    await rm(directory, { recursive: true, force: true })
    await rename(target, directory)
    return writer.last() ?? first - 1
  }

  it(`${ROUNDS} power cuts lose nothing acknowledged at durability disk`, async () => {
    const random = new SeededRandom(SEED)
    let state: WorkloadState = new Map()
    let first = 1
    for (let i = 0; i < ROUNDS; i += 1) {
      if (i % ROUNDS_PER_FOLDER === 0) {
        state = new Map()
        first = 1
      }
      const directory = join(root, 'data', `disk-${Math.floor(i / ROUNDS_PER_FOLDER)}`)
      const acknowledged = await round(directory, 'disk', first, random)
      const crashed = await readCrashed(directory)
      const last = standsAt(state, first, acknowledged, crashed.state)
      const what = `round ${i}, seed ${SEED}, acknowledged ${acknowledged}`
      expect(
        last,
        `${what}: ${difference(state, first, acknowledged, crashed.state)}`,
      ).toBeDefined()
      expect(crashed.damage, what).toBeUndefined()
      state = crashed.state
      first = (last ?? 0) + 1
    }
  }, 900_000)

  it('a batch whose sync failed is never seen: not by this process, not after a close, not after a kill', async () => {
    const child = join(import.meta.dirname, 'failing-sync-child.mjs')
    const failing = join(root, 'syncs-fail')
    const env = { ...layerEnv(), UNSYNCED_FAIL: failing, UNSYNCED_FAIL_FOLDER: `${failing}-folder` }
    const directory = join(root, 'data', 'failing')
    const { stdout, stderr, signal } = spawnSync(process.execPath, [child, directory, failing], {
      env,
      encoding: 'utf8',
    })
    expect(signal, stderr).toBe('SIGKILL')
    expect(JSON.parse(stdout)).toEqual({
      before: 'written',
      refused: 'storage_failed',
      duringFault: ['1', null, null],
      refusedAgain: 'storage_failed',
      stillDuringFault: ['1', null, null],
      after: 'written',
      rows: ['1', null, '4'],
      scan: ['a', '1'],
      openedAnew: ['1', null, '4'],
      refusedLast: 'storage_failed',
      openedAfterRefusal: ['1', null, '4'],
      damage: null,
      refusedByFolder: 'storage_failed',
      afterFolder: ['1', null, '4'],
      refusedBeforeDeath: 'storage_failed',
    })
    const storage = new LevelStorage({ directory })
    await storage.open()
    try {
      expect(await storage.getMany(['a', 'b', 'c'])).toEqual(['1', undefined, '4'])
      expect(storage.damage).toBeUndefined()
    } finally {
      await storage.close()
    }
  })

  it('power cuts lose what was acknowledged at durability process, and that is told', async () => {
    const random = new SeededRandom(SEED)
    let rounds = 0
    let losses = 0
    for (let i = 0; i < Math.ceil(ROUNDS / 4); i += 1) {
      const directory = join(root, 'data', `process-${i}`)
      const acknowledged = await round(directory, 'process', 1, random)
      const crashed = await readCrashed(directory)
      const whole = standsAt(new Map(), 1, acknowledged, crashed.state) !== undefined
      const inOrder = standsAt(new Map(), 1, 0, crashed.state) !== undefined
      rounds += 1
      if (!whole) losses += 1
      if (!inOrder) expect(crashed.damage, `round ${i}, seed ${SEED}`).toBeDefined()
    }
    console.log(
      `durability process: ${losses} of ${rounds} power cuts lost acknowledged operations`,
    )
    expect(losses).toBeGreaterThan(0)
  }, 900_000)
})

/** A C compiler, installed where that is possible; CI must have one. */
function findCompiler(): string | undefined {
  if (process.platform !== 'linux') return missing('the layer is for Linux')
  const places = ['/usr/bin/cc', '/usr/bin/gcc', '/usr/bin/clang', '/usr/local/bin/cc']
  const found = places.find((place) => existsSync(place))
  if (found !== undefined) return found
  if (installWithApt('gcc') && existsSync('/usr/bin/gcc')) return '/usr/bin/gcc'
  return missing('there is no C compiler')
}

function missing(reason: string): undefined {
  if (process.env.CI === 'true') throw new Error(`power cuts can not be tested: ${reason}`)
  console.log(`skipped: power cuts: ${reason}`)
  return undefined
}
