/**
 * Three nodes, four operations, every order in which the operations and the messages they cause can
 * happen. Wall clocks stand still, so that nodes give out equal stamps whenever they can.
 */

import { describe, expect, test } from 'vitest'
import { HybridClock } from '../../../src/core/data/clock.ts'
import { type StoredRecord, versionOf } from '../../../src/core/data/entry.ts'
import { compareRecords } from '../../../src/core/data/merge.ts'
import type { TimeSource } from '../../../src/core/ports/time.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { fc } from '../../support/property.ts'
import { openStore } from '../../support/store.ts'

interface Operation {
  readonly node: number
  readonly kind: 'set' | 'delete'
  readonly key: string
}
type Program = readonly Operation[]

const NODES = [0, 1, 2] as const
const STOPPED: TimeSource = {
  wallNs: () => 0n,
  monotonicNs: () => 0n,
  after: () => () => undefined,
}

/** What one node holds, and the greatest stamp it has seen. */
interface Replica {
  readonly records: ReadonlyMap<string, StoredRecord>
  readonly last: bigint
}

interface Situation {
  readonly replicas: readonly Replica[]
  /** Operations done so far. */
  readonly done: number
  /** Records on their way, each to one node. */
  readonly messages: readonly { readonly to: number; readonly record: StoredRecord }[]
}

/** Every program that differs in more than the names of nodes and keys. Each begins with a set. */
function programs(): Program[] {
  const found: Program[] = []
  const extend = (program: Program): void => {
    if (program.length === 4) {
      found.push(program)
      return
    }
    const nodes = 1 + Math.max(-1, ...program.map(({ node }) => node))
    const hasB = program.some(({ key }) => key === 'b')
    for (const node of NODES.slice(0, nodes + 1)) {
      for (const key of program.length === 0 || (!hasB && program.length === 3)
        ? ['a']
        : ['a', 'b']) {
        for (const kind of program.length === 0
          ? (['set'] as const)
          : (['set', 'delete'] as const)) {
          extend([...program, { node, key, kind }])
        }
      }
    }
  }
  extend([])
  return found
}

function clockAt(last: bigint): HybridClock {
  const clock = new HybridClock(STOPPED)
  clock.observe(last)
  return clock
}

function hold(replica: Replica, record: StoredRecord): Replica {
  const clock = clockAt(replica.last)
  clock.observe(versionOf(record))
  const current = replica.records.get(record.key)
  if (current !== undefined && compareRecords(current, record) >= 0) {
    return { ...replica, last: clock.last }
  }
  return { records: new Map(replica.records).set(record.key, record), last: clock.last }
}

function operate(situation: Situation, { node, kind, key }: Operation): Situation {
  const { replicas, done, messages } = situation
  const replica = replicas[node]
  if (replica === undefined) return situation
  const current = replica.records.get(key)
  if (kind === 'delete' && current?.kind !== 'entry') return { ...situation, done: done + 1 }
  const stamp = clockAt(replica.last).now()
  const origin = `n${node}`
  const record: StoredRecord =
    kind === 'delete'
      ? { kind: 'tombstone', key, deleted: stamp, origin }
      : { kind: 'entry', key, created: stamp, updated: 0n, origin, data: `"${done}"` }
  assertLater(record, current)
  const others = NODES.filter((to) => to !== node).map((to) => ({ to, record }))
  return {
    replicas: replicas.with(node, hold(replica, record)),
    done: done + 1,
    messages: [...messages, ...others],
  }
}

function deliver(situation: Situation, i: number): Situation {
  const message = situation.messages[i]
  const replica = message === undefined ? undefined : situation.replicas[message.to]
  if (message === undefined || replica === undefined) return situation
  const before = replica.records.get(message.record.key)
  const after = hold(replica, message.record)
  const now = after.records.get(message.record.key)
  // No node ever goes back.
  if (now !== before && now !== undefined) assertLater(now, before)
  return {
    ...situation,
    replicas: situation.replicas.with(message.to, after),
    messages: situation.messages.filter((_, other) => other !== i),
  }
}

/** Fails when a record takes the place of one that is not earlier. Called too often for `expect`. */
function assertLater(record: StoredRecord, than: StoredRecord | undefined): void {
  if (than === undefined || compareRecords(than, record) < 0) return
  throw new Error(`${tell(record)} took the place of ${tell(than)}`)
}

function nameOf({ replicas, done, messages }: Situation): string {
  const nodes = replicas.map(
    ({ records, last }) => `${last}:${[...records.values()].map(numberOf).sort()}`,
  )
  return `${done} ${nodes.join('|')} ${messages.map(({ to, record }) => `${to}-${numberOf(record)}`).sort()}`
}

/** Short names of records: the same for the same content. */
const numbers = new Map<string, string>()
const named = new WeakMap<StoredRecord, string>()

function numberOf(record: StoredRecord): string {
  const known = named.get(record)
  if (known !== undefined) return known
  const text = tell(record)
  const number = numbers.get(text) ?? `${numbers.size}`
  numbers.set(text, number)
  named.set(record, number)
  return number
}

function tell(record: StoredRecord): string {
  const data = record.kind === 'entry' ? record.data : 'deleted'
  return `${record.key} ${versionOf(record)} ${record.origin} ${data}`
}

/** Visits every situation a program can come to. @returns how many there were. */
function explore(program: Program): number {
  const replicas = NODES.map((): Replica => ({ records: new Map(), last: 0n }))
  const pending: Situation[] = [{ replicas, done: 0, messages: [] }]
  const seen = new Set<string>()
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const name = nameOf(next)
    if (seen.has(name)) continue
    seen.add(name)
    const operation = program[next.done]
    if (operation !== undefined) pending.push(operate(next, operation))
    for (let i = 0; i < next.messages.length; i++) pending.push(deliver(next, i))
    if (operation === undefined && next.messages.length === 0) assertAgreed(next)
  }
  return seen.size
}

function assertAgreed({ replicas }: Situation): void {
  const [first, ...others] = replicas.map(({ records }) => [...records.values()].map(tell).sort())
  for (const other of others) expect(other).toEqual(first)
}

describe('three nodes and four operations', () => {
  test('agree in every order of operations and deliveries', { timeout: 600_000 }, () => {
    const all = programs()
    let situations = 0
    for (const program of all) situations += explore(program)
    expect(all.length).toBeGreaterThan(500)
    expect(situations).toBeGreaterThan(50_000)
  })

  test('agree as real stores, and a delivery that is repeated changes nothing', async () => {
    const all = programs()
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...all),
        fc.array(fc.nat(), { minLength: 12, maxLength: 12 }),
        playOnStores,
      ),
      { numRuns: 150 },
    )
  })
})

/** Plays one order; each choice picks the next operation or one of the messages on their way. */
async function playOnStores(program: Program, choices: readonly number[]): Promise<void> {
  const stores = await Promise.all(
    NODES.map((node) => openStore({ name: `n${node}`, time: STOPPED })),
  )
  try {
    const messages: { to: ReplicationStore; record: StoredRecord }[] = []
    stores.forEach((store) => {
      store.onCommit(({ changes, source }) => {
        if (source !== undefined) return
        for (const { after } of changes) {
          for (const to of stores) if (to !== store) messages.push({ to, record: after })
        }
      })
    })
    await playChoices(program, choices, stores, messages)
    const [first, ...others] = await Promise.all(stores.map(contentsOf))
    for (const other of others) expect(other).toEqual(first)
  } finally {
    await Promise.all(stores.map((store) => store.close()))
  }
}

async function playChoices(
  program: Program,
  choices: readonly number[],
  stores: readonly ReplicationStore[],
  messages: { to: ReplicationStore; record: StoredRecord }[],
): Promise<void> {
  let done = 0
  for (let turn = 0; done < program.length || messages.length > 0; turn++) {
    const operation = program[done]
    const choice = (choices[turn] ?? 0) % (messages.length + (operation === undefined ? 0 : 1))
    const message = messages[choice]
    if (message === undefined) {
      done++
      const store = operation === undefined ? undefined : stores[operation.node]
      if (store === undefined || operation === undefined) continue
      if (operation.kind === 'set') await store.set(operation.key, `"${done}"`)
      // A delete of a key that is not there is refused, so it is there first.
      else
        await store.batch([
          { op: 'set', key: operation.key, json: '0' },
          { op: 'delete', key: operation.key },
        ])
      continue
    }
    messages.splice(choice, 1)
    await message.to.merge([message.record], { source: 'peer' })
    const [again] = await message.to.merge([message.record], { source: 'peer' })
    expect(again).not.toBe('applied')
  }
}

async function contentsOf(store: ReplicationStore): Promise<string[]> {
  const { records } = await store.scan()
  const told: string[] = []
  for await (const record of records) told.push(tell(record))
  return told
}
