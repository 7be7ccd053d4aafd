/** Nodes killed at random, again and again, under writes that never pause. */

import { Agent } from 'node:http'
import { describe, expect, it } from 'vitest'
import { type RequestOptions, request } from '../support/http.ts'
import { type ProcessNode, waitUntilEqual } from '../support/process-cluster.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { dataByPath } from '../support/subscriber.ts'
import { listOf, useClusters } from '../support/trio.ts'
import { waitFor } from '../support/wait.ts'

const SEED = Number(process.env.OOO_TEST_SEED ?? 20_260_101)
const ROUNDS = 12
/** Writers per node. */
const WRITERS = 3

const newCluster = useClusters()

describe(`nodes killed at random while all take writes and deletes (OOO_TEST_SEED=${SEED})`, () => {
  it('keep every acknowledged change and end equal', async () => {
    const cluster = newCluster()
    const leader = await cluster.start({ name: 'leader' })
    const nodes = [
      leader,
      await cluster.start({ name: 'a', follows: leader }),
      await cluster.start({ name: 'b', follows: leader }),
    ]
    const random = new SeededRandom(SEED)
    const load = new Load()
    const writing = nodes.flatMap((node) =>
      Array.from({ length: WRITERS }, (_, i) => load.write(node, `${node.name}${i}`, random)),
    )
    for (let round = 0; round < ROUNDS; round += 1) {
      await load.progress(50)
      const victims = random.chance(0.25) ? [...nodes] : [random.pick(nodes)]
      await Promise.all(victims.map((node) => node.kill()))
      if (victims.length < nodes.length) await load.progress(50)
      await Promise.all(victims.map((node) => node.start()))
    }
    load.stop()
    await Promise.all(writing)

    await waitFor(async () => load.missing(await listOf(leader)).length === 0, {
      deadlineMs: 60_000,
      intervalMs: 200,
      what: 'every acknowledged change at the leader',
    })
    const bodies = await waitUntilEqual(nodes, ['items/*'])
    const final = dataByPath(JSON.parse(bodies['items/*'] ?? ''))
    expect(load.refusals).toEqual([])
    expect(load.missing(final)).toEqual([])
    expect(load.resurrected(final)).toEqual([])
    expect(load.acknowledged).toBeGreaterThan(ROUNDS * 50)
  }, 600_000)
})

/** What was written and deleted, and what of it was acknowledged. */
class Load {
  acknowledged = 0
  /** Answers that no running node may give here. */
  readonly refusals: string[] = []
  readonly #present = new Set<string>()
  readonly #deleted = new Set<string>()
  #running = true

  /** Writes to one node until `stop`: a new key each time, now and then a delete of an older one. */
  async write(node: ProcessNode, name: string, random: SeededRandom): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const own: string[] = []
    for (let i = 0; this.#running; i += 1) {
      const key = `items/${name}-${i}`
      const body = JSON.stringify({ i })
      if (await this.#accepted('POST', `${node.url}/${key}`, 200, { agent, body })) {
        this.#present.add(key)
        this.acknowledged += 1
        own.push(key)
      } else {
        await waitFor(() => node.serving || !this.#running, { deadlineMs: 60_000, intervalMs: 20 })
      }
      if (own.length > 5 && random.chance(0.25)) await this.#delete(node, own)
    }
    agent.destroy()
  }

  /** Resolves when that many more changes have been acknowledged. */
  async progress(changes: number): Promise<void> {
    const goal = this.acknowledged + changes
    await waitFor(() => this.acknowledged >= goal, {
      deadlineMs: 60_000,
      what: `${changes} more acknowledged changes`,
    })
  }

  stop(): void {
    this.#running = false
  }

  /** Acknowledged writes that the list lacks. */
  missing(list: Record<string, unknown>): string[] {
    return [...this.#present].filter((key) => !(key in list))
  }

  /** Acknowledged deletes that the list does not know of. */
  resurrected(list: Record<string, unknown>): string[] {
    return [...this.#deleted].filter((key) => key in list)
  }

  /** A delete that is cut may or may not have happened: such a key is not judged. */
  async #delete(node: ProcessNode, own: string[]): Promise<void> {
    const key = own.shift() ?? ''
    this.#present.delete(key)
    if (!(await this.#accepted('DELETE', `${node.url}/${key}`, 204))) return
    this.#deleted.add(key)
    this.acknowledged += 1
  }

  /** Whether the request was answered as wanted; false when the connection was refused or cut. */
  async #accepted(
    method: string,
    url: string,
    wanted: number,
    options: RequestOptions = {},
  ): Promise<boolean> {
    const answer = await request(method, url, options).catch(() => undefined)
    if (answer === undefined) return false
    if (answer.status === wanted) return true
    if (this.refusals.length < 100) {
      this.refusals.push(`${method} ${url}: ${answer.status} ${answer.body}`)
    }
    return false
  }
}
