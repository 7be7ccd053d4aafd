/** Cutting a list that arrives in pieces. */
import { expect, test } from 'vitest'
import { splitArray } from '../../../../cluster/pivot2/peer/split-array.ts'

async function split(chunks: readonly (string | Uint8Array)[], max = 1000): Promise<string[]> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) {
      yield typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk
    }
  }
  const found: string[] = []
  for await (const element of splitArray(pieces(), max)) found.push(element)
  return found
}

const LIST =
  ' [ {"a":"]},{","n":1.50} , [1,[2]],"x\\"],[","é😀\\\\" ,12345678901234567890,null ] \n'
const ELEMENTS = [
  '{"a":"]},{","n":1.50}',
  '[1,[2]]',
  '"x\\"],["',
  '"é😀\\\\"',
  '12345678901234567890',
  'null',
]

test('gives the elements as they are spelled, wherever the pieces are cut', async () => {
  const bytes = new TextEncoder().encode(LIST)
  for (let at = 0; at <= bytes.length; at++) {
    expect(await split([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(ELEMENTS)
  }
  expect(await split([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(ELEMENTS)
})

test.each(['[]', ' [ ] ', 'null\n', ''])('finds nothing in %j', async (text) => {
  expect(await split([text])).toEqual([])
})

test.each(['[1,2', '["a', '{"a":1}', '[1][2]', '[1]x', 'x[1]', '[1]]'])(
  'refuses %j, which is not one whole array',
  async (text) => {
    await expect(split([text])).rejects.toMatchObject({ code: 'invalid_json' })
  },
)

test('refuses an element beyond the limit before it is whole', async () => {
  await expect(split(['["', 'x'.repeat(60), 'x'.repeat(60)], 100)).rejects.toMatchObject({
    code: 'too_large',
  })
})

test('refuses text that is not UTF-8', async () => {
  await expect(split([Uint8Array.of(0x5b, 0x22, 0xff, 0x22, 0x5d)])).rejects.toThrow()
})
