/**
 * Stores linked as nodes of a cluster are, with messages that are held up, lost and repeated, next to a
 * model that knows of each write what its maker had seen.
 */
import { LeaderStorage } from '../../../cluster/follower/leader-storage.ts'
import { type StoredRecord, versionOf } from '../../../src/core/data/entry.ts'
import type { Conflict, ConflictLog } from '../../../src/store/conflicts/conflict-log.ts'
import type { SequencedRow } from '../../../src/store/format/rows.ts'
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import type { SeededRandom } from '../../support/seeded-random.ts'
import { ManualTime, openStore } from '../../support/store.ts'

/** Which write it is. */
export function idOf(record: StoredRecord): string {
  return `${versionOf(record)}@${record.origin}`
}

type Down =
  | { readonly kind: 'rows'; readonly records: StoredRecord[]; readonly through: number }
  | { readonly kind: 'pushed'; readonly rows: readonly SequencedRow[] }

const KEYS = ['items/a', 'items/b'] as const
const DAY_NS = 86_400_000_000_000n

export class ModelNode {
  readonly name: string
  readonly leader: ModelNode | undefined
  readonly time: ManualTime = new ManualTime()
  /** Counts the disks it has had. */
  life = 1
  #adapter: MemoryStorage = new MemoryStorage()
  #knownLife = 1
  readonly #world: ModelWorld
  readonly #cacheBytes: number | undefined
  readonly #seen = new Map<string, Set<string>>()
  readonly #held = new Map<string, string>()
  #store: ReplicationStore | undefined
  #leaderStorage: LeaderStorage | undefined
  log: ConflictLog | undefined
  #isUp = false
  #isLive = false
  #cursor = 0
  #sent = 0
  #pushes: (readonly SequencedRow[])[] = []
  #answers: Down[] = []

  constructor(world: ModelWorld, name: string, leader: ModelNode | undefined) {
    this.#world = world
    this.name = name
    this.leader = leader
    this.#cacheBytes = world.random.chance(0.5) ? undefined : 0
  }

  get store(): ReplicationStore {
    if (this.#store === undefined) throw new Error(`${this.name} is down`)
    return this.#store
  }

  async start(): Promise<void> {
    this.#store = await openStore({
      name: `${this.name}${this.life}`,
      adapter: this.#adapter,
      time: this.time,
      leaderOf: () => this.leader?.name,
      tailRows: 4,
      ...(this.#cacheBytes === undefined ? {} : { cacheBytes: this.#cacheBytes }),
    })
    if (this.leader !== undefined) {
      this.#leaderStorage = new LeaderStorage({ store: this.#store, leader: this.leader.name })
    }
    this.log = this.#store.conflictLog({
      maxEntries: 1000,
      oldNs: () => this.time.ns - 30n * DAY_NS,
      now: () => this.time.ns,
      scopeOf: () => 'items/*',
      onError: (error) => {
        throw error
      },
    })
  }

  /** Its clock goes wrong by up to five seconds. */
  skew(): void {
    this.time.ns += BigInt(this.#world.random.below(5000)) * 1_000_000n
  }

  async restart(): Promise<void> {
    this.cut()
    await this.store.close()
    await this.start()
  }

  /** Comes back under another id, with nothing. */
  async loseDisk(): Promise<void> {
    for (const node of this.#world.nodes) if (node.leader === this) node.cut()
    await this.store.close()
    this.cut()
    this.life++
    this.#adapter = new MemoryStorage()
    this.#cursor = 0
    this.#seen.clear()
    this.#held.clear()
    this.#world.lostDisks++
    await this.start()
  }

  /** A write or a delete of a user here. */
  async write(): Promise<void> {
    const { random } = this.#world
    const key = random.pick(KEYS)
    this.time.ns += BigInt(random.below(2_000_000_000))
    const there = await this.store.get(key)
    if (there !== undefined && random.chance(0.2)) await this.store.delete(key)
    else await this.store.set(key, `${this.#world.values++}`)
    const written = (await this.store.keyState(key))?.record
    if (written !== undefined) this.#world.made(written, this.#seenOf(key))
    await this.look()
  }

  /** What its users see now, they have seen. */
  async look(): Promise<void> {
    for (const key of KEYS) {
      const record = (await this.store.keyState(key))?.record
      if (record === undefined || this.#held.get(key) === idOf(record)) continue
      this.#held.set(key, idOf(record))
      for (const id of this.#world.pastOf(record)) this.#seenOf(key).add(id)
      this.#seenOf(key).add(idOf(record))
    }
  }

  cut(): void {
    this.#isUp = false
    this.#isLive = false
    this.#pushes = []
    this.#answers = []
  }

  async connect(): Promise<void> {
    if (this.#isUp || this.leader === undefined) return
    this.#isUp = true
    const continues = this.leader.life === this.#knownLife
    const news = this.#leaderStorage?.welcomed({ id: this.leader.store.id, continues })
    if (news !== undefined) await this.store.saveMeta(news)
    if (!continues) {
      // What it holds and the leader may have lost is owed, of what was seen nothing is known.
      this.#knownLife = this.leader.life
      this.#cursor = 0
      await this.store.resendAll(this.leader.name)
    }
    this.#sent = this.#cursor
  }

  /** The leader reads its log on. */
  async sendRows(): Promise<void> {
    if (!this.#isUp || this.leader === undefined) return
    const page = await this.leader.store.log(this.#sent, 3)
    this.#sent = page.through
    const records = page.rows.map(({ record }) => record)
    this.#answers.push({ kind: 'rows', records, through: page.through })
  }

  async push(): Promise<void> {
    if (!this.#isLive || this.leader === undefined || this.#pushes.length > 2) return
    const answered = this.#answers.flatMap((down) => (down.kind === 'pushed' ? [down.rows] : []))
    const underWay = [...this.#pushes, ...answered].flat().map(({ seq }) => seq)
    const rows = await this.store.pending(this.leader.name, 2, new Set(underWay))
    const told = this.#leaderStorage?.sendable(rows) ?? rows
    if (told.length > 0) this.#pushes.push(told)
  }

  /** The leader takes the oldest push. */
  async deliverPush(): Promise<void> {
    const rows = this.#pushes.shift()
    const { leader } = this
    if (rows === undefined || leader?.log === undefined) return
    await leader.store.merge(
      rows.map(({ record }) => record),
      {
        source: this.name,
        pushed: {
          follower: this.store.id,
          causalContexts: rows.map(({ causalContext }) => causalContext),
          lost: rows.map(({ isLost }) => isLost === true),
          conflicts: leader.log,
        },
      },
    )
    await leader.look()
    this.#answers.push({ kind: 'pushed', rows })
  }

  /** The oldest message of the leader arrives. */
  async deliverAnswer(): Promise<void> {
    const down = this.#answers.shift()
    if (down === undefined || this.leader === undefined) return
    const leader = this.leader.name
    if (down.kind === 'pushed') {
      const sent = down.rows.map(({ seq, record }) => ({ seq, key: record.key }))
      await this.store.acknowledge(leader, sent, new Map())
    } else {
      await this.store.merge(down.records, { source: leader, leader })
      this.#cursor = down.through
      if (down.through >= this.leader.store.head) this.#isLive = true
    }
    await this.look()
  }

  /** Messages of the leader that have not arrived. */
  get waiting(): number {
    return this.#answers.length
  }

  get isIdle(): boolean {
    const { leader } = this
    if (leader === undefined) return true
    const quiet = this.#pushes.length === 0 && this.#answers.length === 0
    return quiet && this.#cursor >= leader.store.head && this.store.pendingCount(leader.name) === 0
  }

  #seenOf(key: string): Set<string> {
    let seen = this.#seen.get(key)
    if (seen === undefined) {
      seen = new Set()
      this.#seen.set(key, seen)
    }
    return seen
  }
}

/** A leader, a follower of it, and two followers of which one may follow the other. */
export class ModelWorld {
  readonly random: SeededRandom
  readonly nodes: ModelNode[]
  values = 0
  lostDisks = 0
  readonly #mayLose: boolean
  readonly #past = new Map<string, ReadonlySet<string>>()
  readonly #records = new Map<string, StoredRecord>()

  constructor(random: SeededRandom) {
    this.random = random
    this.#mayLose = random.chance(0.5)
    const top = new ModelNode(this, 'top', undefined)
    const left = new ModelNode(this, 'left', top)
    const right = new ModelNode(this, 'right', top)
    const below = new ModelNode(this, 'below', random.chance(0.5) ? left : top)
    this.nodes = [top, left, right, below]
  }

  made(record: StoredRecord, seen: ReadonlySet<string>): void {
    this.#past.set(idOf(record), new Set(seen))
    this.#records.set(idOf(record), record)
  }

  pastOf(record: StoredRecord): ReadonlySet<string> {
    return this.#past.get(idOf(record)) ?? new Set()
  }

  async step(): Promise<void> {
    const node = this.random.pick(this.nodes)
    const actions = [
      () => node.write(),
      () => node.write(),
      () => node.sendRows(),
      () => node.push(),
      () => node.push(),
      () => node.deliverPush(),
      () => node.deliverPush(),
      () => node.deliverAnswer(),
      () => node.deliverAnswer(),
      () => node.connect(),
      () => (this.random.chance(0.3) ? node.cut() : node.connect()),
      () => (this.random.chance(0.15) ? node.restart() : node.sendRows()),
      () => (this.#mayLose && this.random.chance(0.15) ? node.loseDisk() : node.push()),
    ]
    await this.random.pick(actions)()
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 2000 && !this.nodes.every((node) => node.isIdle); i++) {
      for (const node of this.nodes) {
        await node.connect()
        await node.sendRows()
        await node.push()
        await node.deliverPush()
        for (let waiting = node.waiting; waiting > 0; waiting--) await node.deliverAnswer()
      }
    }
    if (!this.nodes.every((node) => node.isIdle)) throw new Error('the stores do not settle')
  }

  async conflicts(): Promise<Conflict[]> {
    const logs = await Promise.all(this.nodes.map((node) => node.log?.list({ limit: 10_000 })))
    return logs.flatMap((log) => log ?? [])
  }

  /** What is wrong with the logs, in words. */
  async faults(): Promise<string[]> {
    const conflicts = await this.conflicts()
    const faults = conflicts.flatMap(({ loser, winner }) => {
      const won = `${winner.version}@${winner.origin}`
      if (this.#past.get(won)?.has(idOf(loser)) === true) return [`${won} had seen ${idOf(loser)}`]
      if (this.pastOf(loser).has(won)) return [`the loser ${idOf(loser)} had seen ${won}`]
      return []
    })
    // What a lost disk held can not be told.
    if (this.lostDisks > 0) return faults
    const lost = new Set(conflicts.map(({ loser }) => idOf(loser)))
    const seen = new Set([...this.#past.values()].flatMap((past) => [...past]))
    for (const [id, record] of this.#records) {
      if (record.kind === 'tombstone' || seen.has(id) || lost.has(id)) continue
      const final = (await this.nodes[0]?.store.keyState(record.key))?.record
      if (final !== undefined && idOf(final) !== id) faults.push(`${id} was lost without a trace`)
    }
    return faults
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) await node.store.close()
  }
}
