/**
 * The end of a round: waits until all nodes answer the same, and records what each of them holds, what it says
 * that was lost, and what became of the writes that the checker asks for.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { request } from '../../support/http.ts'
import { askChecker } from './checker.ts'
import { recorded } from './document.ts'
import type { HistoryRecord } from './record.ts'
import type { Member, World } from './world.ts'

/** Nodes have to be equal within this time after everything was healed. */
export const CONVERGE_MS = 30_000
const LOOK_MS = 250
/** What is equal has to be so again after this time. */
const STAY_EQUAL_MS = 1500
const REQUEST_MS = 10_000
const MOST_CONFLICTS = 1000

type Documents = Readonly<Record<string, unknown>>

/** Waits, and records the final values of all nodes. */
export async function settle(world: World): Promise<void> {
  const { record } = world
  const keys = keysOf(record)
  const singles = keys.filter((key) => !key.includes('/'))
  const began = performance.now()
  let last = ''
  let equalSince: number | undefined
  for (;;) {
    const listed = await dumps(world, singles)
    const isListedEqual = areEqual(listed)
    // Every key by itself costs much, and only once lists are equal can it be equal.
    const found = isListedEqual ? await dumps(world, keys) : listed
    const isEqual = isListedEqual && areEqual(found)
    const text = JSON.stringify(found)
    if (!isEqual || text !== last) equalSince = isEqual ? record.now() : undefined
    last = text
    const stays = equalSince !== undefined && record.now() - equalSince >= STAY_EQUAL_MS * 1000
    if (stays || performance.now() - began > CONVERGE_MS + STAY_EQUAL_MS) {
      record.add({ type: 'equal', time: equalSince ?? null })
      const time = record.now()
      for (const [i, { name }] of world.nodes.entries()) {
        record.add({ type: 'final', node: name, time, keys: found[i] })
      }
      return
    }
    await delay(LOOK_MS)
  }
}

function dumps(world: World, keys: readonly string[]): Promise<Documents[]> {
  return Promise.all(world.nodes.map((node) => dump(node, keys).catch(errorDump)))
}

function areEqual(found: readonly Documents[]): boolean {
  return new Set(found.map((documents) => JSON.stringify(documents))).size === 1
}

/** Records the conflict logs, and the fates of what is in none of them. */
export async function recordLosses(world: World, folder: string): Promise<void> {
  const { record } = world
  for (const node of world.nodes) {
    const entries: unknown[] = []
    for (const scope of node.keys) entries.push(...(await conflictsAt(node, scope)))
    record.add({ type: 'conflicts', node: node.name, entries })
  }
  for (const { id, key, writeId, node } of askChecker(record.write(folder))) {
    const path = `-/writes/${encodeURIComponent(writeId)}?key=${encodeURIComponent(key)}`
    const asked = world.nodes.find(({ name }) => name === node) ?? world.nodes[0]
    const answer = await request('GET', `${asked?.url}/${path}`, { timeoutMs: REQUEST_MS })
    const told: unknown =
      answer.status === 200 ? JSON.parse(answer.body) : { status: answer.status }
    record.add({ type: 'fate', id, node, answer: told })
  }
}

/** Single keys and lists that clients wrote, by the name that a GET takes. */
function keysOf(record: HistoryRecord): string[] {
  const keys = new Set(record.operations().flatMap(({ key }) => (key === null ? [] : [key])))
  return [...keys].sort()
}

/** Everything that a node answers for: its lists, and each key by itself. Where the two differ it says so. */
async function dump(node: Member, keys: readonly string[]): Promise<Documents> {
  const found = new Map<string, unknown>()
  for (const list of node.keys.filter((key) => key.endsWith('*'))) {
    const entries = JSON.parse(await bodyOf(node, list)) as { path: string; data: unknown }[]
    for (const { path, data } of entries) found.set(path, recorded(data))
  }
  for (const key of keys) {
    const { status, body } = await request('GET', `${node.url}/${key}`, { timeoutMs: REQUEST_MS })
    if (status !== 200 && status !== 404) throw new Error(`${key}: ${status}`)
    const data = status === 404 ? undefined : recorded((JSON.parse(body) as { data: unknown }).data)
    if (key.includes('/') && JSON.stringify(found.get(key)) !== JSON.stringify(data)) {
      const listed = found.get(key)
      found.set(key, { listed: listed ?? null, alone: data ?? null })
    } else if (data !== undefined) {
      found.set(key, data)
    }
  }
  return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)))
}

async function bodyOf(node: Member, key: string): Promise<string> {
  const { status, body } = await request('GET', `${node.url}/${key}`, { timeoutMs: REQUEST_MS })
  if (status !== 200) throw new Error(`${key}: ${status} ${body}`)
  return body
}

/** A node that does not answer equals no other. */
function errorDump(error: unknown): Documents {
  return { '': { error: String(error), of: Math.random() } }
}

async function conflictsAt(node: Member, scope: string): Promise<unknown[]> {
  const query = `key=${encodeURIComponent(scope)}&limit=${MOST_CONFLICTS}`
  const body = await bodyOf(node, `-/conflicts?${query}`)
  const { conflicts } = JSON.parse(body) as {
    readonly conflicts: readonly { key: string; data: unknown; origin: string; version: string }[]
  }
  return conflicts.map(({ key, data, origin, version }) => {
    return { key, data: recorded(data), writeId: `${origin}:${version}` }
  })
}
