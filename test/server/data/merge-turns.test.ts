/** A PATCH of a large document leaves turns of the event loop to others, and merges into what is there then. */
import { expect, it } from 'vitest'
import { countTurns } from '../../support/turns.ts'
import { serve } from '../serve.ts'

const MEMBERS = 30_000
const document = (value: string): string => {
  return `{${Array.from({ length: MEMBERS }, (_, i) => `"k${i}":${value}`).join(',')}}`
}

it('a PATCH of a large document takes many turns', async () => {
  const { server } = await serve()
  await server.database.set('doc', document('{"n":1}'))
  expect(await countTurns(server.patch('doc', JSON.parse(document('{"n":2}'))))).toBeGreaterThan(60)
  expect((await server.database.get('doc'))?.data).not.toContain('{"n":1}')
})

it('writes that overtake a PATCH are not lost, however many they are', async () => {
  const { server } = await serve()
  await server.database.set('doc', document('{"n":1}'))
  let isDone = false
  let writes = 0
  const patched = server.patch('doc', { k0: { n: 2 }, fresh: true }).then(() => {
    isDone = true
  })
  await countTurns(patched, async () => {
    if (isDone || writes === 200) return
    writes++
    await server.database.update('doc', ({ data }) => data.replace(/^\{/, `{"_w${writes}":1,`))
  })
  expect(writes).toBeGreaterThan(3)
  const value = JSON.parse((await server.database.get('doc'))?.data ?? '') as Record<
    string,
    unknown
  >
  expect(value).toMatchObject({ k0: { n: 2 }, fresh: true, k1: { n: 1 } })
  for (let n = 1; n <= writes; n++) expect(value[`_w${n}`]).toBe(1)
})
