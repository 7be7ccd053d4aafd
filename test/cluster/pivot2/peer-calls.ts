/** What a peer of protocol 2.0 asks of its leader, and how it calls. */
import { request } from '../../support/http.ts'
import { baseOf, last, type Meta, parse, print, quoted, stamp, unquoted } from './peer-format.ts'

export class PeerCalls {
  #isCut = false
  readonly #underWay = new Set<() => void>()
  readonly #leader: string
  readonly #originator: () => string

  /** @param leader `host:port`; @param originator `host:port` of the caller */
  constructor(leader: string | undefined, originator: () => string) {
    this.#leader = `http://${leader}`
    this.#originator = originator
  }

  get isCut(): boolean {
    return this.#isCut
  }

  /** No request leaves, and no answer comes to those under way; or all do again. */
  cut(isCut: boolean): void {
    this.#isCut = isCut
    if (isCut) for (const end of this.#underWay) end()
  }

  /** Pushes an entry. */
  async post(path: string, key: string, meta: Meta): Promise<void> {
    const target = path.includes('*') ? `${baseOf(path)}/${last(key)}` : last(key)
    await this.call('POST', `${this.#leader}/_pivot/pivot/${target}`, `${print(key, meta)}\n`)
  }

  /** Pushes a delete. */
  async remove(path: string, key: string, time: bigint): Promise<void> {
    const target = path.includes('*') ? `${baseOf(path)}/${last(key)}` : key
    await this.call('DELETE', `${this.#leader}/_pivot/pivot/${target}/${time}`)
  }

  /** The activity of the leader. */
  async activity(path: string): Promise<bigint> {
    const url = `${this.#leader}/_pivot/activity/${baseOf(path)}`
    const { status, body } = await this.call('GET', url)
    const found = /^\{"lastEntry":(\d+)\}\n$/.exec(body)
    if (status !== 200 || found?.[1] === undefined) throw new Error(`activity: ${status} ${body}`)
    return BigInt(found[1])
  }

  /** The list of the leader, by key. */
  async list(path: string): Promise<Map<string, Meta>> {
    const { status, body } = await this.call('GET', `${this.#leader}/_pivot/pivot/${path}`)
    if (status !== 200) throw new Error(`list: ${status}`)
    const list = (JSON.parse(quoted(body)) ?? []) as (Record<string, unknown> & { index: string })[]
    return new Map(
      list.map((item) => [
        `${baseOf(path)}/${item.index}`,
        {
          created: stamp(item.created),
          updated: stamp(item.updated),
          data: unquoted(JSON.stringify(item.data)),
        },
      ]),
    )
  }

  /** The plain key at the leader; undefined on any error. */
  async object(path: string): Promise<Meta | undefined> {
    const { status, body } = await this.call('GET', `${this.#leader}/_pivot/pivot/${path}`)
    return status === 200 ? parse(body).meta : undefined
  }

  /** One request; rejects when cut. */
  async call(
    method: string,
    url: string,
    body?: string,
  ): Promise<{ status: number; body: string }> {
    if (this.#isCut) throw new Error('cut')
    const headers = { 'X-Pivot-Originator': this.#originator() }
    const answer = request(method, url, {
      headers,
      timeoutMs: 30_000,
      ...(body === undefined ? {} : { body }),
    })
    let end = (): void => undefined
    const cut = new Promise<never>((_, reject) => {
      end = () => reject(new Error('cut'))
    })
    this.#underWay.add(end)
    try {
      return await Promise.race([answer, cut])
    } finally {
      this.#underWay.delete(end)
      answer.catch(() => undefined)
    }
  }
}
