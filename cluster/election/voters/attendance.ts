/** Who is connected since when, and which nodes go by a name that another one has already. */

export interface Twin {
  readonly name: string
  /** Ids, the one that counts first. */
  readonly nodes: readonly string[]
}

/** Since when each voter is connected, or is not. Times are milliseconds since the Unix epoch. */
export class Presence {
  readonly #startMs: number
  readonly #changes = new Map<string, number>()
  #connected: ReadonlySet<string> = new Set()

  constructor(nowMs: number) {
    this.#startMs = nowMs
  }

  /** These are connected now. */
  note(connected: ReadonlyMap<string, unknown>, nowMs: number): void {
    const before = this.#connected
    const hasLeft = [...before].some((name) => !connected.has(name))
    if (!hasLeft && before.size === connected.size) return
    for (const name of before) if (!connected.has(name)) this.#changes.set(name, nowMs)
    for (const name of connected.keys()) if (!before.has(name)) this.#changes.set(name, nowMs)
    this.#connected = new Set(connected.keys())
  }

  /** Whoever was never here is away since this began. */
  sinceMs(name: string): number {
    return this.#changes.get(name) ?? this.#startMs
  }
}

/** Streams of nodes whose name another connected node has. */
export class Twins {
  /** By stream. */
  readonly #second = new Map<string, { readonly name: string; readonly node: string }>()

  /** @returns whether it was not known. */
  add(id: string, name: string, node: string): boolean {
    if (this.#second.get(id)?.name === name) return false
    this.#second.set(id, { name, node })
    return true
  }

  /** The stream ended, or its node may count. */
  delete(id: string): void {
    this.#second.delete(id)
  }

  /** Streams of the nodes that do not count under a name. */
  streamsOf(name: string): string[] {
    return [...this.#second].flatMap(([id, twin]) => (twin.name === name ? [id] : []))
  }

  /** Under which name a stream does not count; undefined: it is none of them. */
  nameOf(id: string): string | undefined {
    return this.#second.get(id)?.name
  }

  has(name: string): boolean {
    return this.#second.size > 0 && this.streamsOf(name).length > 0
  }

  /** @param firstOf id of the node that counts under a name. */
  report(firstOf: (name: string) => string | undefined): Twin[] {
    const names = [...new Set([...this.#second.values()].map(({ name }) => name))].sort()
    return names.map((name) => {
      const seconds = [...this.#second.values()].filter((twin) => twin.name === name)
      return { name, nodes: [firstOf(name) ?? [], seconds.map(({ node }) => node)].flat() }
    })
  }
}
