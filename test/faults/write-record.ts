/**
 * Writers that never pause, and the record of what was acknowledged to them: what the cluster owes
 * when all faults have ended.
 */
import { Agent } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { parseExact } from '../../src/core/json/json.ts'
import { type Answer, request } from '../support/http.ts'
import type { ProcessNode } from '../support/process-cluster.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { waitFor } from '../support/wait.ts'

/** A list entry as clients get it. */
export interface ListedEntry {
  readonly path: string
  readonly created: bigint
  readonly updated: bigint
  readonly data: unknown
}

interface Acknowledged {
  readonly version: bigint
  /** Undefined for a delete. */
  readonly data: string | undefined
  readonly node: string
}

/** Keys that all writers write to; each writer has as many of its own. */
const SHARED_KEYS = 60
const OWN_KEYS = 20
/** Milliseconds a writer rests between two writes, at most: thousands of writes, not millions. */
const MAX_PAUSE_MS = 25
/** A request to a node that hangs is given up; whether it was done is then not known. */
const REQUEST_TIMEOUT_MS = 5_000

export class WriteRecord {
  acknowledged = 0
  /** Answers that no running node may give. */
  readonly refusals: string[] = []
  /** The acknowledged change with the latest version, by key. */
  readonly #latest = new Map<string, Acknowledged>()
  /** Keys with a change that got no answer: it may have happened or not. */
  readonly #uncertain = new Set<string>()
  readonly #seed: number
  #isRunning = true

  constructor(seed: number) {
    this.#seed = seed
  }

  /** Writes and deletes at one node until `stop`. */
  async write(node: ProcessNode, writer: string): Promise<void> {
    const random = SeededRandom.named(this.#seed, writer)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (let i = 0; this.#isRunning; i++) {
      const shared = random.chance(0.5)
      const key = shared
        ? `items/shared-${random.below(SHARED_KEYS)}`
        : `items/${writer}-${random.below(OWN_KEYS)}`
      const isDelete = random.chance(0.15)
      const body = JSON.stringify({ by: writer, i, pad: 'x'.repeat(random.below(300)) })
      const answered = await this.#change(node, key, isDelete ? undefined : body, agent)
      if (!answered) {
        await waitFor(() => node.running || !this.#isRunning, {
          deadlineMs: 120_000,
          intervalMs: 20,
        })
      }
      await delay(random.below(MAX_PAUSE_MS))
    }
    agent.destroy()
  }

  stop(): void {
    this.#isRunning = false
  }

  /** What the list lacks of what was acknowledged, in words. */
  lost(entries: ReadonlyMap<string, ListedEntry>): string[] {
    return [...this.#latest].flatMap(([key, { version, data, node }]) => {
      const entry = entries.get(key)
      const wanted = `${data ?? 'deleted'} (${version}, by ${node})`
      if (entry === undefined) {
        const isExplained = data === undefined || this.#uncertain.has(key)
        return isExplained ? [] : [`${key}: absent, acknowledged was ${wanted}`]
      }
      const found = entry.updated > entry.created ? entry.updated : entry.created
      const foundData = JSON.stringify(entry.data)
      if (found > version && this.#uncertain.has(key)) return []
      if (found === version && foundData === data) return []
      return [`${key}: ${foundData} (${found}), acknowledged was ${wanted}`]
    })
  }

  async #change(
    node: ProcessNode,
    key: string,
    body: string | undefined,
    agent: Agent,
  ): Promise<boolean> {
    const method = body === undefined ? 'DELETE' : 'POST'
    const options = {
      agent,
      timeoutMs: REQUEST_TIMEOUT_MS,
      ...(body === undefined ? {} : { body }),
    }
    const answer = await request(method, `${node.url}/${key}`, options).catch(() => undefined)
    if (answer === undefined) {
      this.#uncertain.add(key)
      return false
    }
    if (answer.status === 404 && body === undefined) return true
    if (answer.status !== 200 && answer.status !== 204) {
      // A node that is closing or was cut in the middle may refuse; what it says is kept.
      this.#uncertain.add(key)
      if (this.refusals.length < 50) {
        this.refusals.push(`${method} ${key} at ${node.name}: ${answer.status} ${answer.body}`)
      }
      return false
    }
    this.#note(key, versionOf(answer), body, node.name)
    return true
  }

  #note(key: string, version: bigint, data: string | undefined, node: string): void {
    this.acknowledged++
    const known = this.#latest.get(key)
    if (known === undefined || version >= known.version) {
      this.#latest.set(key, { version, data, node })
    }
  }
}

/** The version that the node gave the write: the last part of the write's id. */
function versionOf({ headers }: Answer): bigint {
  const id = headers['ooo-write-id']
  const version = typeof id === 'string' ? /(\d{15,})$/.exec(id)?.[1] : undefined
  if (version === undefined) throw new Error(`an answer without a write id: ${String(id)}`)
  return BigInt(version)
}

/** A list's body by path, with exact stamps. */
export function listedEntries(body: string): Map<string, ListedEntry> {
  const entries = parseExact(body) as readonly {
    path: string
    created: number | bigint
    updated: number | bigint
    data: unknown
  }[]
  return new Map(
    entries.map(({ path, created, updated, data }) => [
      path,
      { path, created: BigInt(created), updated: BigInt(updated), data },
    ]),
  )
}
