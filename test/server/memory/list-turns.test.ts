/** Long lists leave turns of the event loop to others, and are one state however long they take. */
import { expect, it } from 'vitest'
import { type Entry, newestFirst } from '../../../src/core/data/entry.ts'
import { atOnce, type Steps } from '../../../src/core/steps.ts'
import { Turns } from '../../../src/server/turns/turns.ts'
import { sortingEntries } from '../../../src/store/state/glob-scan.ts'
import { fc } from '../../support/property.ts'
import { countTurns } from '../../support/turns.ts'
import { serve, type TestServer } from '../serve.ts'

const COUNT = 20_000

async function filled(): Promise<TestServer> {
  const node = await serve()
  for (let from = 0; from < COUNT; from += 1000) {
    const items = Array.from({ length: 1000 }, (_, i) => {
      return {
        op: 'set',
        key: `d${(from + i) % 7}/k${from + i}`,
        json: `{"n":${from + i}}`,
      } as const
    })
    await node.server.database.batch(items)
  }
  return node
}

it.each(['*/*', '*/k*1*'])('GET /%s takes many turns, and shows one state', async (glob) => {
  const node = await filled()
  const { database } = node.server
  const before = (await database.list(glob)).map(({ key }) => key)
  let writes = 0
  const reading = node.get(`/${glob}`)
  const turns = await countTurns(reading, async () => {
    if (writes < 5) await database.set(`d0/k1new${writes++}`, '{"n":0}')
  })
  const shown = JSON.parse((await reading).body) as { path: string }[]
  expect(turns).toBeGreaterThan(10)
  // Writes came while it was read: none of those after one that is missing is there.
  const fresh = shown.filter(({ path }) => path.includes('new')).map(({ path }) => path)
  expect(fresh).toEqual(fresh.map((_, i) => `d0/k1new${fresh.length - 1 - i}`))
  expect(shown.slice(fresh.length).map(({ path }) => path)).toEqual(before)
})

it('parts of a list are those of the whole', async () => {
  const node = await filled()
  const paths = async (query: string): Promise<string[]> => {
    const { body } = await node.get(`/*/*${query}`)
    return (JSON.parse(body) as { path: string }[]).map(({ path }) => path)
  }
  const whole = await paths('')
  expect(whole).toHaveLength(COUNT)
  expect(await paths('?order=oldest')).toEqual(whole.toReversed())
  expect(await paths('?limit=3')).toEqual(whole.slice(0, 3))
  expect(await paths('?order=oldest&limit=3')).toEqual(whole.toReversed().slice(0, 3))
})

it('HEAD tells the length of a long list', async () => {
  const node = await filled()
  const { body } = await node.get('/*/*')
  const head = await node.request('HEAD', '/*/*')
  expect(head).toMatchObject({ status: 200, body: '' })
  expect(head.headers['content-length']).toBe(String(body.length))
})

it('sorting in steps gives what sorting gives', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 500 }), (stamps) => {
      const entries = stamps.map((stamp, i): Entry => {
        const created = BigInt(stamp)
        return {
          kind: 'entry',
          key: `k${i % 97}/${i}`,
          created,
          updated: 0n,
          origin: 'a',
          data: '1',
        }
      })
      const sorted = entries.toSorted(newestFirst)
      expect(atOnce(sortingEntries(entries))).toEqual(sorted)
      expect(atOnce(sortingEntries(sorted))).toEqual(sorted)
    }),
  )
})

it('work of many goes on side by side, and what fails does so alone', async () => {
  const turns = new Turns()
  const order: string[] = []
  function* steps(name: string): Steps<string> {
    for (let i = 0; i < 3; i++) {
      order.push(name)
      const end = performance.now() + 2
      while (performance.now() < end);
      for (let j = 0; j < 64; j++) yield
    }
    return name
  }
  const failed = turns.run(() => {
    throw new Error('no')
  })
  const worked = Promise.all([turns.work(steps('a')), turns.work(steps('b'))])
  await expect(failed).rejects.toThrow('no')
  expect(await worked).toEqual(['a', 'b'])
  expect(order).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
})
