import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createServer, type Server } from '../../src/server/server.ts'
import { MemoryStorage } from '../../storage-adapters/memory/memory.ts'
import { findChromium, launchChromium } from '../support/chromium.ts'
import { freePort } from '../support/free-port.ts'
import { bundleOooClient } from '../support/ooo-client-bundle.ts'
import { waitFor, waitForValue } from '../support/wait.ts'

/** What the public client hands out for an entry. */
interface Meta {
  readonly created: number
  readonly updated: number
  readonly index: string
  readonly path?: string
  readonly data: unknown
}

/** One WebSocket of the page, as the browser saw it. */
interface SeenSocket {
  readonly url: string
  readonly frames: { readonly snapshot: boolean; readonly version: string }[]
}

interface PublicClient {
  onmessage: (state: unknown) => void
  close(reload?: boolean): boolean
  get(key: string): Promise<Meta>
  publish(key: string, data: unknown): Promise<string>
  unpublish(key: string): Promise<unknown>
}

/** The globals of the page under test. */
interface PageGlobals {
  oooClient(url: string, ssl?: boolean): PublicClient
  client: PublicClient
  states: unknown[]
}

const chromium = findChromium()
if (chromium.path === undefined) console.log(`skipping ooo-client: ${chromium.reason}`)

describe.skipIf(chromium.path === undefined)('the public ooo-client in a browser', () => {
  let script: string
  let browser: Browser
  let server: Server
  let storage: MemoryStorage
  let port: number
  let page: Page
  let sockets: SeenSocket[]
  let problems: string[]

  beforeAll(async () => {
    script = await bundleOooClient()
    browser = await launchChromium()
  })

  afterAll(() => browser?.close())

  beforeEach(async () => {
    port = await freePort()
    storage = new MemoryStorage()
    await startServer()
    sockets = []
    problems = []
    // The page of the node runs no script but its own; here it only lends its origin.
    page = await browser.newPage({ bypassCSP: true })
    page.setDefaultTimeout(60_000)
    page.on('pageerror', (error) => problems.push(String(error)))
    page.on('websocket', (socket) => {
      const seen: SeenSocket = { url: socket.url(), frames: [] }
      sockets.push(seen)
      socket.on('framereceived', ({ payload }) => {
        // A text frame would be a string; the client cannot read those.
        expect(typeof payload).not.toBe('string')
        const frame: unknown = JSON.parse(payload.toString())
        if (typeof frame === 'object') seen.frames.push(frame as SeenSocket['frames'][number])
      })
    })
    await page.goto(`http://127.0.0.1:${port}/`)
    await page.addScriptTag({ content: script })
  })

  afterEach(async () => {
    await page.close()
    await server.close()
    expect(problems).toEqual([])
  })

  async function startServer(): Promise<void> {
    server = createServer({ storage, port, tickMs: 50 })
    await server.open()
  }

  /** Makes the page's client and has it record every state it hands out. */
  async function connect(path: string): Promise<void> {
    await page.evaluate((url) => {
      const globals = globalThis as unknown as PageGlobals
      globals.states = []
      globals.client = globals.oooClient(url, false)
      globals.client.onmessage = (state) => globals.states.push(structuredClone(state))
    }, `127.0.0.1:${port}${path}`)
  }

  const states = (): Promise<unknown[]> =>
    page.evaluate(() => (globalThis as unknown as PageGlobals).states)

  async function stateAfter<T>(count: number): Promise<T> {
    const all = await waitFor(
      async () => {
        const seen = await states()
        return seen.length >= count ? seen : undefined
      },
      { what: `state number ${count}` },
    )
    expect(all).toHaveLength(count)
    return all[count - 1] as T
  }

  async function rest(method: string, key: string, json?: string): Promise<void> {
    const init = json === undefined ? { method } : { method, body: json }
    const answer = await fetch(`http://127.0.0.1:${port}/${key}`, init)
    expect(answer.ok).toBe(true)
  }

  const kinds = (): string[] =>
    sockets.flatMap(({ frames }) => frames.map(({ snapshot }) => (snapshot ? 'snapshot' : 'patch')))

  const reload = (): Promise<boolean> =>
    page.evaluate(() => (globalThis as unknown as PageGlobals).client.close(true))

  it('reads the clock in time mode', async () => {
    await connect('')
    const times = await waitFor(
      async () => {
        const seen = (await states()) as number[]
        return seen.length >= 3 ? seen : undefined
      },
      { what: 'three ticks' },
    )
    const nowMs = Date.now()
    for (const time of times) expect(Math.abs(time / 1e6 - nowMs)).toBeLessThan(60_000)
    expect([...times].sort((a, b) => a - b)).toEqual(times)
  })

  it('follows a single entry: absent, written, rewritten, deleted, written again', async () => {
    await connect('/settings')
    expect(await stateAfter(1)).toEqual({ created: 0, updated: 0, index: '', data: {} })
    await rest('POST', 'settings', '{"mode":"day","list":[1,2,3]}')
    const created = await stateAfter<Meta>(2)
    expect(created).toMatchObject({
      index: 'settings',
      path: 'settings',
      updated: 0,
      data: { mode: 'day', list: [1, 2, 3] },
    })
    await rest('POST', 'settings', '{"mode":"night","list":[1,3]}')
    const updated = await stateAfter<Meta>(3)
    expect(updated.data).toEqual({ mode: 'night', list: [1, 3] })
    expect(updated.created).toBe(created.created)
    expect(updated.updated).toBeGreaterThan(updated.created)
    await rest('PATCH', 'settings', '{"sound":true}')
    expect((await stateAfter<Meta>(4)).data).toEqual({ mode: 'night', list: [1, 3], sound: true })
    await rest('DELETE', 'settings')
    expect(await stateAfter(5)).toEqual({ created: 0, updated: 0, index: '', data: {} })
    await rest('POST', 'settings', '7')
    expect((await stateAfter<Meta>(6)).data).toBe(7)
    await waitForValue(kinds, ['snapshot', 'snapshot', 'patch', 'patch', 'patch', 'snapshot'], {
      what: 'the frames',
    })
  })

  it('follows a list: pushes, writes, merges, deletes and a glob delete', async () => {
    const paths = (list: Meta[]): (string | undefined)[] => list.map((meta) => meta.path)
    await rest('POST', 'items/a', '{"v":1}')
    await connect('/items/*')
    expect(paths(await stateAfter<Meta[]>(1))).toEqual(['items/a'])
    await rest('POST', 'items/b', '{"v":2}')
    expect(paths(await stateAfter<Meta[]>(2))).toEqual(['items/b', 'items/a'])
    await rest('POST', 'items/*', '"pushed"')
    expect((await stateAfter<Meta[]>(3))[0]?.data).toBe('pushed')
    await rest('PATCH', 'items/a', '{"w":[null]}')
    expect((await stateAfter<Meta[]>(4))[2]?.data).toEqual({ v: 1, w: [null] })
    await rest('DELETE', 'items/b')
    const left = await stateAfter<Meta[]>(5)
    expect(left.map((meta) => meta.data)).toEqual(['pushed', { v: 1, w: [null] }])
    await rest('DELETE', 'items/*')
    expect(await stateAfter(6)).toEqual([])
    await waitForValue(kinds, ['snapshot', 'patch', 'patch', 'patch', 'patch', 'snapshot'], {
      what: 'the frames',
    })
  })

  it('resumes with its version: nothing to send, then patches go on', async () => {
    await rest('POST', 'items/a', '1')
    await connect('/items/*')
    await stateAfter(1)
    await reload()
    await waitFor(() => sockets.length === 2, { what: 'the second socket' })
    expect(sockets[1]?.url).toContain(`/items/*?v=${sockets[0]?.frames[0]?.version}`)
    await waitFor(() => server.socketCount === 1, { what: 'the resumed socket' })
    await rest('POST', 'items/b', '2')
    expect((await stateAfter<Meta[]>(2)).map((meta) => meta.index)).toEqual(['b', 'a'])
    await waitForValue(kinds, ['snapshot', 'patch'], { what: 'the frames' })
  })

  it('gets a snapshot when something changed while it was away', async () => {
    await rest('POST', 'items/a', '1')
    await connect('/items/*')
    await stateAfter(1)
    await reload()
    await waitFor(() => server.socketCount === 0, { what: 'the socket to go' })
    await rest('POST', 'items/b', '2')
    await rest('DELETE', 'items/a')
    expect((await stateAfter<Meta[]>(2)).map((meta) => meta.index)).toEqual(['b'])
    await waitForValue(kinds, ['snapshot', 'snapshot'], { what: 'the frames' })
  })

  it('comes back with its version after the server closed the socket and started anew', async () => {
    await rest('POST', 'settings', '{"v":1}')
    await connect('/settings')
    await stateAfter(1)
    await server.close()
    await startServer()
    await rest('POST', 'settings', '{"v":2}')
    expect((await stateAfter<Meta>(2)).data).toEqual({ v: 2 })
    expect(sockets.at(-1)?.url).toContain('/settings?v=')
  })

  it('publishes, gets and unpublishes', async () => {
    // The client's HTTP library (ky 0.31) assigns `request.duplex`. Browsers of its time had no such
    // attribute; today's have a read-only one, on which that assignment throws before anything is
    // sent, whatever the server.
    await page.evaluate(() => Reflect.deleteProperty(Request.prototype, 'duplex'))
    await connect('/items/*')
    await stateAfter(1)
    const answers = await page.evaluate(async () => {
      const { client } = globalThis as unknown as PageGlobals
      const pushed = await client.publish('items/*', { v: 'pushed' })
      const named = await client.publish('items/named', { v: 'named' })
      const got = await client.get('items/named')
      await client.unpublish('items/named')
      const gone = await client.get('items/named').catch((error: Error) => error.message)
      return { pushed, named, got, gone }
    })
    expect(answers.pushed).toMatch(/^[0-9a-f]{16}$/)
    expect(answers.named).toBe('named')
    expect(answers.got).toMatchObject({ index: 'named', path: 'items/named', data: { v: 'named' } })
    expect(answers.gone).toContain('404')
    const list = await stateAfter<Meta[]>(4)
    expect(list.map((meta) => meta.data)).toEqual([{ v: 'pushed' }])
  })
})
