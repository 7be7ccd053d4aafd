/** Section 2: the meta object, byte for byte, and its stamps. */
import { ensure, equal, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'
import type { Target } from './target.ts'

const META = /^\{"created":(\d+),"updated":(\d+),"index":"([^"]*)","path":"([^"]*)","data":(.*)\}$/s

export const metaCases: readonly WireCase[] = [
  ...section('2.1', {
    'fields come in the order created, updated, index, path, data': async (target) => {
      await target.store(target.at('a'), '{"x":1}')
      const { body } = await target.get(target.at('a'))
      const [, , index, path, data] = matches(body, META, 'meta object')
      equal([index, path, data], ['a', `${target.prefix}/a`, '{"x":1}'], 'index, path, data')
    },
    'lists are arrays of meta objects without white space': async (target) => {
      await target.store(target.at('a'), '1')
      const { body } = await target.get(target.at('*'))
      matches(body.slice(1, -1), META, 'the only element')
      equal([body.at(0), body.at(-1)], ['[', ']'], 'brackets')
    },
    'data keeps member order and number spelling; white space goes': async (target) => {
      const sent = ' { "z" : 9007199254740993 , "a" : [ 1.50 , -0 , 1E5 ] , "m" : "a b" } '
      await target.store(target.at('a'), sent)
      equal(
        await target.data(target.at('a')),
        '{"z":9007199254740993,"a":[1.50,-0,1E5],"m":"a b"}',
        'data',
      )
    },
    'text beyond ASCII comes back as it was': async (target) => {
      const text = 'é ☃ 😀 <&> \u2028 \u0000'
      await target.store(target.at('a'), JSON.stringify(text))
      equal(JSON.parse(await target.data(target.at('a'))), text, 'text')
    },
    'the empty object is exact': async (target) => {
      const probe = await target.subscribe(target.at('absent'))
      equal(
        (await probe.envelope(0)).data,
        '{"created":0,"updated":0,"index":"","data":{}}',
        'state of an absent key',
      )
    },
  }),
  ...section(
    '2.1',
    {
      'a number beyond a double is refused, or given back digit for digit': async (target) => {
        const { status } = await target.post(target.at('a'), '1e400')
        if (status === 200) equal(await target.data(target.at('a')), '1e400', 'data')
        else equal(status, 400, 'status of the write')
      },
    },
    { tag: 'Q' },
  ),
  ...section('2.2', {
    'a first write has updated 0 and nanoseconds in created': async (target) => {
      await target.store(target.at('a'), '1')
      const { created, updated } = await stamps(target)
      equal(updated, 0n, 'updated')
      const offMs = Number(created / 1_000_000n) - Date.now()
      ensure(Math.abs(offMs) < 86_400_000, `created is ${offMs} ms off`)
    },
    'an overwrite keeps created and moves updated, also with equal data': async (target) => {
      await target.store(target.at('a'), '1')
      const first = await stamps(target)
      await target.store(target.at('a'), '1')
      const second = await stamps(target)
      equal(second.created, first.created, 'created')
      ensure(second.updated > first.created, 'updated is after created')
    },
    'a merge is an overwrite': async (target) => {
      await target.store(target.at('a'), '{}')
      const first = await stamps(target)
      await target.patch(target.at('a'), '{"x":1}')
      const second = await stamps(target)
      equal(second.created, first.created, 'created')
      ensure(second.updated > first.created, 'updated is after created')
    },
    'a push has updated 0': async (target) => {
      const index = await target.store(target.at('*'), '1')
      equal((await stamps(target, index)).updated, 0n, 'updated')
    },
    'a write after a delete begins anew': async (target) => {
      await target.store(target.at('a'), '1')
      const first = await stamps(target)
      await target.request('DELETE', target.at('a'))
      await target.store(target.at('a'), '1')
      const second = await stamps(target)
      ensure(second.created > first.created, 'created is newer')
      equal(second.updated, 0n, 'updated')
    },
  }),
]

async function stamps(target: Target, name = 'a'): Promise<{ created: bigint; updated: bigint }> {
  const { body } = await target.get(target.at(name))
  const [created = '0', updated = '0'] = matches(body, META, 'meta object')
  return { created: BigInt(created), updated: BigInt(updated) }
}
