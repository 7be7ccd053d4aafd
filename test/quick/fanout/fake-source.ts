/** A source the test commits to by hand, whose reads answer when it says; and connections to match. */
import type { Change, Commit, Entry, StoredRecord } from '../../../src/core/data/entry.ts'
import { newestFirst } from '../../../src/core/data/entry.ts'
import { matchKey } from '../../../src/core/keys/key.ts'
import type { FrameBatch } from '../../../src/fanout/frames/batch.ts'
import type { FrameSink } from '../../../src/fanout/frames/subscriber.ts'
import { Hub, type HubOptions, type Subscription } from '../../../src/fanout/hub.ts'
import { FakeTime } from '../../support/fake-time.ts'
import { applyExactly, canonicalText } from '../core/exact-apply.ts'

export class FakeSource {
  readonly entries: Map<string, Entry> = new Map()
  seq = 0
  /** Reads that wait for `answerReads`; undefined while reads answer at once. */
  #held: (() => void)[] | undefined
  /** What the next read throws. */
  failure: Error | undefined
  reads = 0
  onCommit: (commit: Commit) => void = () => undefined
  /** Called for every commit when reads see it, before the hub hears of it. */
  onChange: (commit: Commit) => void = () => undefined
  /** Commits that reads see and the hub does not yet; undefined while it hears at once. */
  #unheard: Commit[] | undefined

  holdReads(): void {
    this.#held ??= []
  }

  get isHoldingCommits(): boolean {
    return this.#unheard !== undefined
  }

  holdCommits(): void {
    this.#unheard ??= []
  }

  announceCommits(): void {
    const unheard = this.#unheard ?? []
    this.#unheard = undefined
    for (const commit of unheard) this.onCommit(commit)
  }

  /** Lets waiting reads answer, with the state of their own moment, and later ones at once. */
  async answerReads(): Promise<void> {
    const held = this.#held ?? []
    this.#held = undefined
    for (const answer of held) answer()
    await settle()
  }

  async read(pattern: string): Promise<{ seq: number; entries: Entry[] }> {
    this.reads++
    const { failure } = this
    this.failure = undefined
    const state = { seq: this.seq, entries: this.list(pattern) }
    const held = this.#held
    if (held !== undefined) await new Promise<void>((resolve) => held.push(resolve))
    if (failure !== undefined) throw failure
    return state
  }

  list(pattern: string): Entry[] {
    return [...this.entries.values()].filter((e) => matchKey(pattern, e.key)).sort(newestFirst)
  }

  set(key: string, data: string, created?: bigint): void {
    const before = this.entries.get(key)
    const stamp = BigInt(this.seq + 1) * 1_000_000_000_000_000n + 1n
    this.commit([
      {
        kind: 'entry',
        key,
        created: created ?? before?.created ?? stamp,
        updated: before === undefined ? 0n : stamp,
        origin: 'test',
        data,
      },
    ])
  }

  delete(...keys: string[]): void {
    this.commit(keys.map((key) => ({ kind: 'tombstone', key, deleted: 1n, origin: 'test' })))
  }

  commit(records: readonly StoredRecord[]): void {
    const changes: Change[] = []
    for (const after of records) {
      const before = this.entries.get(after.key)
      if (after.kind === 'entry') this.entries.set(after.key, after)
      else this.entries.delete(after.key)
      this.seq++
      changes.push({ key: after.key, before, after })
    }
    const commit = { seq: this.seq, changes, source: undefined }
    this.onChange(commit)
    if (this.#unheard === undefined) this.onCommit(commit)
    else this.#unheard.push(commit)
  }
}

export interface Envelope {
  readonly snapshot: boolean
  readonly version: string
  /** JSON text. */
  readonly data: string
}

/** A connection that takes frames at once, or only when told. */
export class FakeSink implements FrameSink {
  readonly frames: Envelope[] = []
  readonly bytes: Uint8Array[] = []
  readonly batches: FrameBatch[] = []
  /** The state that the frames so far give, canonical. */
  state: string | undefined
  closed: { code: number; reason: string } | undefined
  bufferedBytes = 0

  get sendProgress(): number {
    return -this.bufferedBytes
  }

  heldVersion: string | undefined
  /** True: what is sent stays buffered until `drain`. */
  stuck = false
  /** True while the next snapshot may stand for several states: at first, and when frames were dropped. */
  maySkip = true
  /** Called with each frame, once `state` is what it gives. */
  onFrame: (frame: Envelope) => void = () => undefined
  #drained: (() => void) | undefined

  send(batch: FrameBatch): void {
    this.batches.push(batch)
    for (const frame of batch.frames) this.#take(frame)
  }

  #take(frame: Uint8Array): void {
    if (this.stuck) this.bufferedBytes += frame.byteLength
    const envelope = parseEnvelope(new TextDecoder().decode(frame))
    this.frames.push(envelope)
    this.bytes.push(frame)
    this.state = envelope.snapshot
      ? canonicalText(envelope.data)
      : applyExactly(this.state ?? '', envelope.data)
    this.onFrame(envelope)
    this.maySkip = false
  }

  /** Asked for only when a frame was dropped. */
  onDrain(callback: () => void): void {
    this.maySkip = true
    this.#drained = callback
  }

  drain(): void {
    this.bufferedBytes = 0
    const drained = this.#drained
    this.#drained = undefined
    drained?.()
  }

  close(code: number, reason: string): void {
    this.closed = { code, reason }
  }

  /** The version of the state: of the last frame, else the one it reconnected with. */
  get version(): string | undefined {
    return this.frames.at(-1)?.version ?? this.heldVersion
  }

  get patches(): string[] {
    return this.frames.filter((frame) => !frame.snapshot).map((frame) => frame.data)
  }
}

export function parseEnvelope(text: string): Envelope {
  const match = /^\{"snapshot":(true|false),"version":"([0-9a-f]+)","data":(.+)\}$/s.exec(text)
  if (match === null) throw new Error(`not an envelope: ${text}`)
  return { snapshot: match[1] === 'true', version: match[2] ?? '', data: match[3] ?? '' }
}

export interface Bench {
  readonly source: FakeSource
  readonly hub: Hub
  readonly time: FakeTime
}

export function createBench(options: Partial<HubOptions> = {}): Bench {
  const source = new FakeSource()
  const time = new FakeTime()
  let version = 0x1000n
  // Frames leave at once unless a test says otherwise.
  const endOfTurn = (run: () => void): void => run()
  const hub = new Hub({ source, time, nextVersion: () => ++version, endOfTurn, ...options })
  source.onCommit = (commit) => hub.commit(commit)
  return { source, hub, time }
}

/** A subscriber with its first frame, if it gets one. */
export async function join(
  hub: Hub,
  pattern: string,
  heldVersion?: string,
  sink: FakeSink = new FakeSink(),
): Promise<{ sink: FakeSink; subscription: Subscription }> {
  const subscription = await hub.subscribe(pattern)
  subscription.attach(sink, heldVersion)
  return { sink, subscription }
}

export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
