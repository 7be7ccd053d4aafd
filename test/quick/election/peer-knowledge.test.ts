/** A node that can not reach the lease asks others who leads. */
import { describe, expect, it } from 'vitest'
import { type Lease, type LeaseView, NO_MARK } from '../../../cluster/election/lease/lease.ts'
import { withPeerKnowledge } from '../../../cluster/election/peer-knowledge.ts'
import { proveAnswer } from '../../../cluster/members/proof.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const SELF = { id: 'me', url: 'http://me:1' }
const FREE: LeaseView = {
  ...{ holder: undefined, token: 3, isMine: false, heldForMs: 0 },
  mark: NO_MARK,
}

/** @param answers what each node answers, by its URL; a node without an answer is out of reach. */
function setUp(
  answers: Record<string, unknown>,
  given?: Lease,
  token?: string,
  knows: (url: string) => string | undefined = () => undefined,
) {
  const asked: string[] = []
  const shown: unknown[] = []
  const state = { isDown: false, questions: 0 }
  const answer = async (): Promise<LeaseView> => {
    state.questions++
    if (state.isDown) throw new Error('down')
    return FREE
  }
  const lease: Lease = given ?? {
    kind: 'virtual',
    name: 'lease',
    durationMs: 5000,
    look: answer,
    take: answer,
    claim: answer,
    renew: answer,
    release: async () => undefined,
    close: async () => undefined,
  }
  const own = withPeerKnowledge({
    lease,
    self: SELF,
    peers: async () => [...Object.keys(answers), SELF.url, 'no url', 'http://a:1/path?x='],
    token,
    calls: {
      callStranger: async (url, { headers }) => {
        asked.push(url)
        shown.push(headers)
        const told = answers[url]
        if (told === undefined) throw new Error('out of reach')
        const text = typeof told === 'string' ? told : JSON.stringify(told)
        const proof = proveAnswer(knows(url), headers as Record<string, string>, text)
        return { status: 503, headers: proof, body: new TextEncoder().encode(text) }
      },
    },
    random: new SeededRandom(1).next,
  })
  return { own, asked, shown, state }
}

it('a lease may be an object of a class', async () => {
  class ClassLease implements Lease {
    readonly #calls: string[]
    constructor(calls: string[]) {
      this.#calls = calls
    }
    get kind(): string {
      return 'own'
    }
    get name(): string {
      return 'lease'
    }
    get durationMs(): number {
      return 5000
    }
    look = (): Promise<LeaseView> => this.#answer('look')
    take = (): Promise<LeaseView> => this.#answer('take')
    claim(): Promise<LeaseView> {
      return this.#answer('claim')
    }
    renew(): Promise<LeaseView> {
      return this.#answer('renew')
    }
    async release(): Promise<void> {
      await this.#answer('release')
    }
    async close(): Promise<void> {
      await this.#answer('close')
    }
    async #answer(question: string): Promise<LeaseView> {
      this.#calls.push(question)
      return FREE
    }
  }
  const calls: string[] = []
  const { own } = setUp({}, new ClassLease(calls))
  expect([own.kind, own.name, own.durationMs]).toEqual(['own', 'lease', 5000])
  for (const ask of [own.look, () => own.take(1), () => own.claim(1), () => own.renew(1, NO_MARK)])
    await ask()
  await own.release(1)
  await own.close()
  expect(calls).toEqual(['look', 'take', 'claim', 'renew', 'release', 'close'])
})

describe('beside a lease in reach', () => {
  it('nobody is asked, nor at the first failure', async () => {
    const { own, asked, state } = setUp({
      'http://a:1': { leader: 'http://b:1', id: 'b', token: 9 },
    })
    expect(await own.look()).toEqual(FREE)
    state.isDown = true
    await expect(own.look()).rejects.toThrow('down')
    expect(asked).toEqual([])
  })
})

describe('beside a lease out of reach', () => {
  const fail = async (under: ReturnType<typeof setUp>): Promise<void> => {
    await under.own.look()
    under.state.isDown = true
    await expect(under.own.look()).rejects.toThrow('down')
  }

  it('the latest grant that others know of is followed, and the lease is asked all the same', async () => {
    const under = setUp({
      'http://a:1': { leader: 'http://b:1', id: 'b', token: 4 },
      'http://c:1': { leader: 'http://d:1', id: 'd', token: 5 },
      'http://e:1': undefined,
    })
    await fail(under)
    const view = {
      holder: { id: 'd', url: 'http://d:1' },
      token: 5,
      isMine: false,
      heldForMs: 5000,
      confirmedForMs: 0,
      mark: NO_MARK,
    }
    expect(await under.own.look()).toEqual(view)
    expect(await under.own.renew(4, NO_MARK)).toEqual(view)
    expect(new Set(under.asked)).toEqual(new Set(['http://a:1', 'http://c:1', 'http://e:1']))
    expect(under.state.questions).toBe(4)
    under.state.isDown = false
    await under.own.look()
    expect(await under.own.look()).toEqual(FREE)
  })

  it('what they say that they do not know themselves is followed, and confirms nothing', async () => {
    const last = { url: 'http://b:1', id: 'b', token: 4, unconfirmedSince: '2026-01-01T00:00:00Z' }
    const answers = [
      [{ leader: null, last }, 0],
      [{ leader: 'http://b:1', id: 'b', token: 4 }, 0],
      [{ leader: 'http://b:1', id: 'b', token: 4, validForMs: 300 }, 300],
      [{ leader: 'http://b:1', id: 'b', token: 4, validForMs: 9_000_000 }, 5000],
      [{ leader: 'http://b:1', id: 'b', token: 4, validForMs: -1 }, 0],
    ] as const
    for (const [told, confirmedForMs] of answers) {
      const under = setUp({ 'http://a:1': told })
      await fail(under)
      expect(await under.own.look()).toMatchObject({ holder: { id: 'b' }, confirmedForMs })
    }
  })

  it('what is old, of this node itself, or not understood counts for nothing', async () => {
    for (const told of [
      { leader: 'http://b:1', id: 'b', token: 2 },
      { leader: SELF.url, id: SELF.id, token: 9 },
      { leader: null },
      { leader: 'http://b:1', id: 'b', token: '9' },
      { leader: 'ftp://b', id: 'b', token: 9 },
      '<html>',
    ]) {
      const under = setUp({ 'http://a:1': told })
      await fail(under)
      await expect(under.own.look(), JSON.stringify(told)).rejects.toThrow('down')
    }
    const under = setUp({ 'http://a:1': { leader: 'http://b:1', id: 'b', token: 4 } })
    await fail(under)
    // Its own grant has this number: nobody was granted a later one.
    await expect(under.own.renew(4, NO_MARK)).rejects.toThrow('down')
    await expect(under.own.claim(3)).rejects.toThrow('down')
  })

  it('who does not prove to have the token is not believed, and nobody is shown it', async () => {
    const told = { leader: 'http://evil:1', id: 'evil', token: 99 }
    const right = { leader: 'http://b:1', id: 'b', token: 4 }
    const answers = { 'http://evil:1': told, 'http://wrong:1': told, 'http://a:1': right }
    const tokens: Record<string, string> = { 'http://wrong:1': 'guess', 'http://a:1': 'secret' }
    const under = setUp(answers, undefined, 'secret', (url) => tokens[url])
    await fail(under)
    expect((await under.own.look()).holder).toEqual({ id: 'b', url: 'http://b:1' })
    expect(under.shown).toHaveLength(3)
    expect(JSON.stringify(under.shown)).not.toContain('secret')
    const alone = setUp({ 'http://evil:1': told }, undefined, 'secret')
    await fail(alone)
    await expect(alone.own.look()).rejects.toThrow('down')
  })

  it('three nodes are asked at most', async () => {
    const urls = Array.from({ length: 20 }, (_, i) => [`http://n${i}:1`, undefined])
    const under = setUp(Object.fromEntries(urls))
    await fail(under)
    await expect(under.own.look()).rejects.toThrow('down')
    expect(under.asked).toHaveLength(3)
  })
})
