import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../src/core/errors.ts'
import { createServer, type Server } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { request } from '../../support/http.ts'
import { fc } from '../../support/property.ts'
import { waitFor } from '../../support/wait.ts'
import { SocketClient } from '../serve.ts'

type Step = 'open' | 'close' | 'settle' | 'subscribe' | 'get' | 'mend' | Fault
/** Where the next open fails. */
type Fault = 'storage' | 'setup' | 'start' | 'hook'

/** Fails where it is told to. */
class Breaker {
  fault: Fault | undefined

  check(place: Fault): void {
    if (this.fault === place) throw new Error(`${place} is broken`)
  }
}

class FragileStorage extends MemoryStorage {
  readonly #breaker: Breaker

  constructor(breaker: Breaker) {
    super()
    this.#breaker = breaker
  }

  override async open(): Promise<void> {
    this.#breaker.check('storage')
    await super.open()
  }
}

interface Bench {
  readonly server: Server
  readonly breaker: Breaker
  readonly asked: Promise<unknown>[]
  /** What went wrong in a way that no caller should see. */
  readonly faults: string[]
  readonly hooks: { started: number; closed: number; subscribed: number; unsubscribed: number }
}

function bench(): Bench {
  const breaker = new Breaker()
  const server = createServer({
    storage: new FragileStorage(breaker),
    port: 0,
    deadlineMs: 1000,
    plugins: [
      {
        name: 'fragile',
        setup: () => breaker.check('setup'),
        start: () => breaker.check('start'),
      },
    ],
  })
  const hooks = { started: 0, closed: 0, subscribed: 0, unsubscribed: 0 }
  server.hooks.on('start', () => void hooks.started++)
  server.hooks.on('start', () => breaker.check('hook'))
  server.hooks.on('close', () => void hooks.closed++)
  server.hooks.on('subscribe', () => void hooks.subscribed++)
  server.hooks.on('unsubscribe', () => void hooks.unsubscribed++)
  return { server, breaker, asked: [], faults: [], hooks }
}

async function run(bench: Bench, step: Step): Promise<void> {
  const { server, breaker, asked, faults } = bench
  switch (step) {
    case 'open':
      asked.push(
        server.open().catch((error: unknown) => {
          const expected = isStateError(error, 'closing') || String(error).includes('broken')
          if (!expected) faults.push(String(error))
        }),
      )
      return
    case 'close':
      asked.push(server.close().catch((error: unknown) => faults.push(String(error))))
      return
    case 'settle':
      await Promise.all(asked)
      return
    case 'subscribe':
      if (server.address !== undefined) {
        const client = new SocketClient(server.address.url.replace('http', 'ws').concat('/a/*'))
        asked.push(client.opened.catch(() => undefined))
      }
      return
    case 'get':
      if (server.address !== undefined) {
        asked.push(request('GET', `${server.address.url}/a/*`).catch(() => undefined))
      }
      return
    case 'mend':
      breaker.fault = undefined
      return
    default:
      breaker.fault = step
  }
}

/** Sockets and listeners of this process. */
function resources(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter(
      (name) => name.startsWith('TCP') || name.startsWith('TLS') || name.startsWith('FSEvent'),
    )
    .sort()
}

const FAULTS: readonly Fault[] = ['storage', 'setup', 'start', 'hook']
const CALLS: readonly Step[] = ['open', 'close', 'settle', 'subscribe', 'get', 'mend']
/** Faults are rarer than calls. */
const STEP: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...CALLS) },
  { weight: 1, arbitrary: fc.constantFrom(...FAULTS) },
)

describe('a server that is opened and closed at random', () => {
  it('ends as the last one asked, with nothing left over', { timeout: 600_000 }, async () => {
    const before = resources()
    await fc.assert(
      fc.asyncProperty(fc.array(STEP, { maxLength: 20 }), async (steps) => {
        const b = bench()
        for (const step of steps) await run(b, step)
        b.breaker.fault = undefined
        await Promise.all(b.asked)
        await b.server.close()
        await b.server.open()
        const health = await request('GET', `${b.server.address?.url}/-/healthz`)
        expect(health.body).toBe('ok')
        await Promise.all([b.server.close(), b.server.close()])
        expect(b.server.address).toBeUndefined()
        expect(b.faults).toEqual([])
        expect(b.hooks.closed).toBe(b.hooks.started)
        expect(b.hooks.unsubscribed).toBe(b.hooks.subscribed)
      }),
      { numRuns: 150 },
    )
    await waitFor(() => resources().length <= before.length, {
      what: `no more sockets than before (${before.join()})`,
    })
  })

  it('leaves no timer behind', async () => {
    const timers = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const { server } = bench()
    const before = timers()
    await server.open()
    const client = new SocketClient(`${server.address?.url.replace('http', 'ws')}/`)
    await client.text(0)
    expect(timers()).toBeGreaterThan(before)
    await server.close()
    await client.waitClosed()
    await waitFor(() => timers() <= before)
  })
})
