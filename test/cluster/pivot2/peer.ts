/**
 * A small peer of protocol 2.0, written from its description alone and sharing no code with the
 * cluster: a leader or a node with its data in maps. It keeps the traps of 2.0: sets take the stamp of
 * a delete away, pushes overwrite and are never repeated, a pull deletes what the leader lacks, and
 * whatever reads or writes a key of a node makes the node pull that key first.
 */
import { once } from 'node:events'
import * as http from 'node:http'
import { freePort } from '../../support/free-port.ts'
import { PeerCalls } from './peer-calls.ts'
import {
  addressOf,
  baseOf,
  bodyOf,
  type Meta,
  matches,
  parse,
  print,
  reply,
} from './peer-format.ts'

export interface PeerOptions {
  /** Synced paths: `things/*` or plain keys. */
  readonly keys: readonly string[]
  /** `host:port` of the leader; absent: this peer leads. */
  readonly leader?: string
  /** Released peers route letters and digits only. Default true. */
  readonly strictKeys?: boolean
  /** Syncs both ways when it starts, again and again until something moved. Default false. */
  readonly autoSync?: boolean
  /** Between the first two of those syncs, milliseconds; doubled up to a minute. Default 1 000. */
  readonly retryMs?: number
}

const NODES = 'nodes/*'

export class PivotPeer {
  readonly entries: Map<string, Meta> = new Map()
  /** Delete stamps by base key. */
  readonly deletes: Map<string, bigint> = new Map()
  /** Requests taken, as `METHOD path`. */
  readonly taken: string[] = []
  /** How many requests it took. */
  requests = 0
  /** Lists are answered with 500, as by a storage that fails. */
  isBroken = false
  readonly #options: PeerOptions
  readonly #keys: readonly string[]
  #server: http.Server | undefined
  #port = 0
  readonly #calls: PeerCalls
  #clock = 0n
  #events: Promise<void> = Promise.resolve()
  #operation: Promise<void> = Promise.resolve()
  readonly #pulled = new Set<string>()
  readonly #originators = new Map<string, string>()
  readonly #background = new Set<Promise<unknown>>()
  #isBusy = false
  #isReading = false
  #queued = 0
  #retryTimer: NodeJS.Timeout | undefined

  constructor(options: PeerOptions) {
    this.#options = options
    this.#calls = new PeerCalls(options.leader, () => this.address)
    this.#keys = [...options.keys, NODES]
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  get url(): string {
    return `http://${this.address}`
  }

  /** Listens, at the same port as before if there was one. */
  async start(): Promise<this> {
    const server = http.createServer((incoming, outgoing) => {
      this.#serve(incoming, outgoing).catch(() => outgoing.writeHead(500).end())
    })
    // Not one that the system picks: it might give that away while the peer is down.
    if (this.#port === 0) this.#port = await freePort()
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#server = server
    if (this.#options.autoSync === true) this.#syncUntilMoved(this.#options.retryMs ?? 1_000)
    return this
  }

  /** Ends the process of the peer, so to say; its data stays. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    clearTimeout(this.#retryTimer)
    await this.settled()
    server?.closeAllConnections()
    if (server !== undefined) await new Promise((resolve) => server.close(resolve))
  }

  /** No request leaves or arrives, or all do again. */
  cut(isCut: boolean): void {
    this.#calls.cut(isCut)
    if (isCut) this.#server?.closeAllConnections()
  }

  /** Loses its disk. */
  wipe(): void {
    this.entries.clear()
    this.deletes.clear()
  }

  /** Registers this node at its leader, as one that older programs write. */
  async register(name: string, fields: object = {}): Promise<void> {
    await this.set(
      `nodes/${name}`,
      JSON.stringify({ IP: '127.0.0.1', Port: String(this.#port), ...fields }),
    )
  }

  async set(key: string, data: string): Promise<void> {
    await this.#beforeRead(key)
    const now = this.now()
    const found = this.entries.get(key)
    this.entries.set(key, {
      created: found?.created ?? now,
      updated: found === undefined ? 0n : now,
      data,
    })
    await this.#event('set', key)
  }

  async delete(key: string): Promise<void> {
    await this.#beforeRead(key)
    this.entries.delete(key)
    await this.#event('del', key)
  }

  /** What a client gets that reads a key. */
  async read(key: string): Promise<string | undefined> {
    await this.#beforeRead(key)
    return this.value(key)
  }

  value(key: string): string | undefined {
    return this.entries.get(key)?.data
  }

  now(): bigint {
    const wall = BigInt(Date.now()) * 1_000_000n
    this.#clock = wall > this.#clock ? wall : this.#clock + 1n
    return this.#clock
  }

  /** Nothing is under way: no pull, no sync, no event. */
  get isIdle(): boolean {
    return !this.#isBusy && !this.#isReading && this.#queued === 0
  }

  /** Waits for events and notifications under way. */
  async settled(): Promise<void> {
    await this.#events
    await Promise.allSettled(this.#background)
  }

  /** Bidirectional sync of everything followed. @returns whether any key moved. */
  async sync(): Promise<boolean> {
    let hasMoved = false
    await this.#alone(async () => {
      for (const path of this.#keys) {
        try {
          if (await this.#syncKey(path)) hasMoved = true
        } catch {
          // 2.0 skips the key.
        }
      }
    })
    return hasMoved
  }

  /** Takes over what the leader has that is newer, for one path or all. */
  pull(only?: string): Promise<void> {
    return this.#alone(async () => {
      for (const path of this.#keys) {
        if (only !== undefined && only !== path) continue
        try {
          await this.#pullKey(path)
        } catch {
          // 2.0 skips the key.
        }
      }
    })
  }

  /** Sync-on-read: one at a time, and none while another operation is under way. */
  async #beforeRead(keyOrPath: string): Promise<void> {
    if (this.#options.leader === undefined || this.#isReading || this.#isBusy) return
    const path = this.#keys.find((found) => found === keyOrPath || matches(found, keyOrPath))
    if (path === undefined) return
    this.#isReading = true
    try {
      await this.pull(path)
    } finally {
      this.#isReading = false
    }
  }

  #syncUntilMoved(delayMs: number): void {
    const work = this.sync().then((hasMoved) => {
      if (hasMoved || this.#server === undefined) return
      this.#retryTimer = setTimeout(
        () => this.#syncUntilMoved(Math.min(2 * delayMs, 60_000)),
        delayMs,
      )
    })
    this.#background.add(work)
    void work.finally(() => this.#background.delete(work))
  }

  /** One sync or pull at a time. */
  #alone(work: () => Promise<void>): Promise<void> {
    this.#queued++
    const done = this.#operation.then(async () => {
      this.#queued--
      this.#isBusy = true
      try {
        await work()
      } finally {
        this.#isBusy = false
      }
    })
    this.#operation = done.catch(() => undefined)
    return done
  }

  activity(path: string): bigint {
    let latest = this.deletes.get(baseOf(path)) ?? 0n
    for (const [key, { created, updated }] of this.entries) {
      if (!matches(path, key)) continue
      if (created > latest) latest = created
      if (updated > latest) latest = updated
    }
    return latest
  }

  async #event(kind: 'set' | 'del', key: string): Promise<void> {
    const path = this.#keys.find((candidate) => matches(candidate, key))
    if (path === undefined) return
    this.#events = this.#events.then(() => this.#handle(kind, key, path))
    await this.#events
  }

  async #handle(kind: 'set' | 'del', key: string, path: string): Promise<void> {
    const { leader } = this.#options
    if (leader !== undefined && this.#pulled.delete(`${kind} ${key}`)) return
    if (kind === 'del') this.deletes.set(baseOf(path), this.now())
    else this.deletes.delete(baseOf(path))
    if (leader === undefined) return this.#notifyAll(path, key)
    // What is written during a pull is sent after it.
    while (this.#isBusy) await this.#operation
    await this.#pushEvent(kind, key, path)
  }

  #notifyAll(path: string, key: string): void {
    const originator = this.#originators.get(key)
    this.#originators.delete(key)
    for (const [candidate, { data }] of this.entries) {
      const address = matches(NODES, candidate) ? addressOf(data) : undefined
      if (address === undefined || address === originator) continue
      const work = this.#notify(address, path)
      this.#background.add(work)
      void work.finally(() => this.#background.delete(work))
    }
  }

  async #notify(address: string, path: string): Promise<void> {
    try {
      const version = await this.#calls.call('GET', `http://${address}/_pivot/version`)
      if ((JSON.parse(version.body) as { protocol: string }).protocol !== '2.0') return
      await this.#calls.call('GET', `http://${address}/_pivot/synchronize/pivot?key=${path}`)
    } catch {
      // Never repeated.
    }
  }

  async #pushEvent(kind: 'set' | 'del', key: string, path: string): Promise<void> {
    const found = this.entries.get(key)
    try {
      if (kind === 'del') await this.#calls.remove(path, key, BigInt(Date.now()) * 1_000_000n)
      else if (found !== undefined) await this.#calls.post(path, key, found)
    } catch {
      // Never repeated.
    }
  }

  async #pullKey(path: string): Promise<void> {
    const theirs = await this.#calls.activity(path)
    if (theirs <= this.activity(path)) return
    if (!path.includes('*')) return this.#pullPlain(path)
    const list = await this.#calls.list(path)
    let changed = false
    for (const key of [...this.entries.keys()]) {
      if (!matches(path, key) || list.has(key)) continue
      changed = true
      this.#drop(key)
    }
    for (const [key, meta] of list) {
      const ours = this.entries.get(key)
      if (ours !== undefined && meta.updated <= ours.updated) continue
      changed = true
      this.#take(key, meta)
    }
    if (changed) this.deletes.set(baseOf(path), theirs)
  }

  async #pullPlain(path: string): Promise<void> {
    const found = await this.#calls.object(path)
    if (found === undefined) {
      if (this.entries.has(path)) this.#drop(path)
      this.deletes.delete(path)
      return
    }
    if ((this.deletes.get(path) ?? 0n) > found.created) return
    this.#take(path, found)
    this.deletes.delete(path)
  }

  #take(key: string, meta: Meta): void {
    this.#pulled.add(`set ${key}`)
    this.entries.set(key, meta)
    void this.#event('set', key)
  }

  #drop(key: string): void {
    this.#pulled.add(`del ${key}`)
    this.entries.delete(key)
    void this.#event('del', key)
  }

  /** @returns whether the key moved. */
  async #syncKey(path: string): Promise<boolean> {
    const theirs = await this.#calls.activity(path)
    const ours = this.activity(path)
    if (ours === theirs) return false
    if (ours < theirs) await this.#pullKey(path)
    else if (path.includes('*')) await this.#sendList(path, theirs)
    else {
      const found = this.entries.get(path)
      if (found !== undefined) await this.#calls.post(path, path, found)
      else if ((await this.#calls.object(path)) !== undefined) {
        await this.#calls.remove(path, path, this.now())
      }
    }
    return true
  }

  async #sendList(path: string, first: bigint): Promise<void> {
    const list = await this.#calls.list(path)
    const second = await this.#calls.activity(path)
    const theirs = second > first ? second : first
    for (const [key, meta] of [...this.entries]) {
      if (!matches(path, key) || this.#pulled.delete(`del ${key}`)) continue
      const there = list.get(key)
      const goes =
        there === undefined ? theirs === 0n || meta.created > theirs : meta.updated > there.updated
      if (goes) await this.#calls.post(path, key, meta)
    }
    for (const [key, meta] of list) {
      if (this.entries.has(key) || this.#pulled.delete(`del ${key}`)) continue
      await this.#calls.remove(path, key, meta.updated)
    }
  }

  async #serve(incoming: http.IncomingMessage, outgoing: http.ServerResponse): Promise<void> {
    if (this.#calls.isCut) {
      incoming.socket.destroy()
      return
    }
    const url = new URL(incoming.url ?? '/', 'http://peer')
    const path = decodeURIComponent(url.pathname)
    const method = incoming.method ?? 'GET'
    this.requests++
    this.taken.push(`${method} ${path}`)
    if (this.taken.length > 10_000) this.taken.shift()
    if (path === '/') return reply(outgoing, 200, '<html></html>')
    if (path === '/_pivot/version') {
      return reply(outgoing, 200, '{"protocol":"2.0","package":"github.com/benitogf/pivot"}\n')
    }
    if (path.startsWith('/_pivot/synchronize/')) {
      if (this.#options.leader === undefined) return reply(outgoing, 400, 'no syncers configured')
      if (path.endsWith('/node')) await this.sync()
      else await this.pull(url.searchParams.get('key') ?? undefined)
      return reply(outgoing, 200, '')
    }
    if (path.startsWith('/_pivot/activity/')) {
      const base = path.slice('/_pivot/activity/'.length)
      const found = this.#keys.find((key) => baseOf(key) === base)
      if (found !== undefined) {
        await this.#beforeRead(found)
        return reply(outgoing, 200, `{"lastEntry":${this.activity(found)}}\n`)
      }
    }
    if (path.startsWith('/_pivot/pivot/')) {
      return this.#records(incoming, outgoing, path.slice('/_pivot/pivot/'.length))
    }
    await this.#data(outgoing, path.slice(1))
  }

  /** Plain reads of data, as any client does them. */
  async #data(outgoing: http.ServerResponse, key: string): Promise<void> {
    await this.#beforeRead(key)
    const noted = key.startsWith('pivot/') ? this.deletes.get(key.slice(6)) : undefined
    const meta = noted === undefined ? this.entries.get(key) : undefined
    if (noted !== undefined) {
      reply(outgoing, 200, print(key, { created: 1n, updated: 0n, data: String(noted) }))
    } else if (meta !== undefined) reply(outgoing, 200, print(key, meta))
    else if (/^[a-zA-Z\d]/.test(key)) reply(outgoing, 404, 'ooo: empty key')
    else reply(outgoing, 400, 'ooo: key is not valid')
  }

  async #records(
    incoming: http.IncomingMessage,
    outgoing: http.ServerResponse,
    rest: string,
  ): Promise<void> {
    const { method } = incoming
    if (this.#options.strictKeys !== false && method !== 'GET' && !/^[a-zA-Z*\d/]+$/.test(rest)) {
      return reply(outgoing, 400, 'ooo: key is not valid')
    }
    const path = this.#keys.find(
      (key) => rest === key || rest.startsWith(`${baseOf(key)}/`) || rest === baseOf(key),
    )
    if (path === undefined) return reply(outgoing, 404, '404 page not found\n')
    const isList = path.includes('*')
    if (this.isBroken) return reply(outgoing, 500, 'storage: closed')
    if (method === 'GET') {
      await this.#beforeRead(path)
      if (isList) return reply(outgoing, 200, this.#printList(path))
      const meta = this.entries.get(path)
      return meta === undefined
        ? reply(outgoing, 500, 'storage: not found')
        : reply(outgoing, 200, `${print(path, meta)}\n`)
    }
    const from = incoming.headers['x-pivot-originator']
    const note = (key: string): void => {
      if (typeof from === 'string') this.#originators.set(key, from)
    }
    if (method === 'POST') {
      const { index, meta } = parse(await bodyOf(incoming))
      const key = isList ? `${baseOf(path)}/${index}` : path
      note(key)
      this.entries.set(key, meta)
      await this.#event('set', key)
      return reply(outgoing, 200, '')
    }
    const parts = rest.split('/')
    const time = BigInt(parts.pop() ?? '')
    const key = parts.join('/')
    note(key)
    const wasThere = this.entries.delete(key)
    this.deletes.set(baseOf(path), time)
    if (wasThere) await this.#event('del', key)
    reply(outgoing, wasThere ? 200 : 500, '')
  }

  #printList(path: string): string {
    const found = [...this.entries].filter(([key]) => matches(path, key))
    found.sort(([, a], [, b]) => (a.created < b.created ? -1 : a.created > b.created ? 1 : 0))
    return `[${found.map(([key, meta]) => print(key, meta)).join(',')}]\n`
  }
}
