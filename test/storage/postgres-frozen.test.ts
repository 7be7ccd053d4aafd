/** A node with a small heap on a PostgreSQL server that stands still while clients write great values. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { CliProcess } from '../support/cli-process.ts'
import { freePort } from '../support/free-port.ts'
import { type Answer, request } from '../support/http.ts'
import { usePostgres } from '../support/services.ts'
import { waitFor } from '../support/wait.ts'

const CLIENTS = 30
const FROZEN_MS = 10_000
const HEAP_MIB = 256
const VALUE_CHARACTERS = 1_000_000
/** Milliseconds that a client waits for an answer. One that has none comes again, and what it sent stays. */
const PATIENT_MS = 20_000
const HASTY_MS = 1000

const running: CliProcess[] = []
const folders: string[] = []

beforeAll(prepareBuild, 600_000)
afterEach(async () => {
  for (const node of running.splice(0)) await node.dispose()
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

/** A node as a process, that answers. */
async function startNode(args: readonly string[], heapMiB: number): Promise<Started> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const all = ['serve', '--host', '127.0.0.1', '--port', String(port), '--key', 'items/*', ...args]
  const env = { NODE_OPTIONS: `--max-old-space-size=${heapMiB}` }
  const node = new CliProcess(all, { env })
  running.push(node)
  const isReady = async (): Promise<boolean> =>
    (await request('GET', `${url}/-/readyz`)).status === 200
  await waitFor(isReady, { deadlineMs: 60_000, what: `${args.join(' ')} to answer` })
  return { node, url }
}

interface Started {
  readonly node: CliProcess
  readonly url: string
}

/** Bytes of physical memory the process has used at most; Linux. */
async function peakBytes({ node }: Started): Promise<number> {
  const status = await readFile(`/proc/${node.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

/** Clients that overwrite a key each, one write after the other, until they are stopped. */
class Clients {
  /** By key, the greatest number that was answered with 200. */
  readonly acknowledged = new Map<string, number>()
  readonly refusals: Answer[] = []
  #isWriting = true
  #numbers = 0
  readonly #patienceMs: number
  readonly #work: Promise<unknown>

  constructor(url: string, prefix: string, count: number, patienceMs: number) {
    const filler = 'x'.repeat(VALUE_CHARACTERS)
    this.#patienceMs = patienceMs
    const keys = Array.from({ length: count }, (_, i) => `items/${prefix}${i}`)
    this.#work = Promise.all(keys.map((key) => this.#write(`${url}/${key}`, key, filler)))
  }

  async stop(): Promise<void> {
    this.#isWriting = false
    await this.#work
  }

  async #write(target: string, key: string, filler: string): Promise<void> {
    while (this.#isWriting) {
      const number = ++this.#numbers
      const body = `{"number":${number},"filler":"${filler}"}`
      const answer = await request('POST', target, { body, timeoutMs: this.#patienceMs }).catch(
        () => undefined,
      )
      if (answer?.status === 200) this.acknowledged.set(key, number)
      else if (answer !== undefined) this.refusals.push(answer)
      // Much sooner than it is told to.
      if (answer?.status !== 200) await new Promise((resolve) => setTimeout(resolve, 300))
    }
  }
}

/** The number in the value of each key. */
async function numbersOf(url: string, keys: Iterable<string>): Promise<Map<string, number>> {
  const numbers = new Map<string, number>()
  for (const key of keys) {
    const { status, body } = await request('GET', `${url}/${key}`)
    if (status === 200)
      numbers.set(key, (JSON.parse(body) as { data: { number: number } }).data.number)
  }
  return numbers
}

/** What was answered, where an older or no state is there. */
function lostOf(clients: Clients, held: ReadonlyMap<string, number>): string[] {
  return [...clients.acknowledged].flatMap(([key, number]) =>
    (held.get(key) ?? 0) >= number
      ? []
      : [`${key}: ${number} was answered, ${held.get(key)} is there`],
  )
}

describe('a PostgreSQL server that is frozen', () => {
  const postgres = usePostgres({ control: true })

  it(`for ${FROZEN_MS / 1000} s under ${CLIENTS} clients with values of 1 MB costs neither the node nor a write`, {
    timeout: 300_000,
  }, async () => {
    const database = await postgres().createDatabase()
    const leader = await startNode(['--postgres', database, '--name', 'leader'], HEAP_MIB)
    const folder = await mkdtemp(join(tmpdir(), 'ooo-frozen-'))
    folders.push(folder)
    const follower = await startNode(
      ['--data', join(folder, 'data'), '--cluster-url', leader.url, '--name', 'follower'],
      HEAP_MIB,
    )
    const clients = new Clients(leader.url, 'c', CLIENTS, PATIENT_MS)
    const pushing = new Clients(follower.url, 'f', 4, PATIENT_MS)
    await waitFor(() => clients.acknowledged.size === CLIENTS, { deadlineMs: 120_000 })
    await waitFor(() => pushing.acknowledged.size === 4, { deadlineMs: 60_000 })

    await postgres().control.freeze()
    const frozenAt = performance.now()
    const hasty = new Clients(leader.url, 'h', CLIENTS, HASTY_MS)
    let reasons = ''
    let held = 0
    try {
      while (performance.now() - frozenAt < FROZEN_MS) {
        const [ready, storage, value] = await Promise.all(
          ['/-/readyz', '/?api=storage', '/items/c0'].map((path) =>
            request('GET', `${leader.url}${path}`),
          ),
        )
        expect(ready?.status).toBe(200)
        if (ready?.body.includes('storage')) reasons = ready.body
        const { waitingBytes } = JSON.parse(storage?.body ?? '') as { waitingBytes: number }
        held = Math.max(held, waitingBytes)
        // Reads from memory go on.
        expect(value?.status).toBe(200)
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
    } finally {
      await postgres().control.thaw()
    }
    expect(reasons).toMatch(/the storage has not answered for \d+ s/)
    expect(held).toBeGreaterThan(8 * 2 ** 20)
    expect(held).toBeLessThanOrEqual(64 * 2 ** 20)
    const full = [...clients.refusals, ...hasty.refusals].filter(({ body }) =>
      body.includes('bytes are waiting'),
    )
    expect(full.length).toBeGreaterThan(0)
    for (const { status, headers } of full) {
      expect({ status, after: headers['retry-after'] }).toEqual({ status: 503, after: '1' })
    }

    // It goes on by itself.
    const before = new Map(clients.acknowledged)
    const goesOn = (): boolean =>
      [...clients.acknowledged].every(([key, number]) => number > (before.get(key) ?? 0))
    await waitFor(goesOn, { deadlineMs: 120_000, what: 'every client to be answered again' })
    await hasty.stop()
    await clients.stop()
    await pushing.stop()
    const isWell = async (): Promise<boolean> =>
      !(await request('GET', `${leader.url}/-/readyz`)).body.includes('storage')
    await waitFor(isWell, { deadlineMs: 60_000, what: 'readyz to be well again' })

    expect(lostOf(clients, await numbersOf(leader.url, clients.acknowledged.keys()))).toEqual([])
    const arrived = async (): Promise<boolean> => {
      const atLeader = await numbersOf(leader.url, pushing.acknowledged.keys())
      const atFollower = await numbersOf(follower.url, clients.acknowledged.keys())
      return lostOf(pushing, atLeader).length + lostOf(clients, atFollower).length === 0
    }
    await waitFor(arrived, { deadlineMs: 120_000, what: 'both nodes to hold everything' })
    // It was 330 MB of the leader, 290 MB of the follower.
    if (process.platform === 'linux') {
      expect(await peakBytes(leader)).toBeLessThan(2 * HEAP_MIB * 2 ** 20)
      expect(await peakBytes(follower)).toBeLessThan(2 * HEAP_MIB * 2 ** 20)
    }
    // What it acknowledged is in the database, not only in its memory.
    leader.node.signal('SIGKILL')
    await leader.node.ended
    const again = await startNode(['--postgres', database, '--name', 'leader'], HEAP_MIB)
    expect(lostOf(clients, await numbersOf(again.url, clients.acknowledged.keys()))).toEqual([])
  })
})
