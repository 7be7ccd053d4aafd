/** Conversations that are almost right: valid messages, damaged by a seeded generator. */
import type { SeededRandom } from '../support/seeded-random.ts'

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** Values that programs stumble over. */
const ODD: readonly Json[] = [
  null,
  true,
  0,
  -1,
  0.5,
  1e308,
  2 ** 53,
  '',
  '0',
  '-1',
  '9'.repeat(19),
  '9'.repeat(400),
  'items/*',
  '__proto__',
  '\u0000',
  '\ud800',
  'x'.repeat(70_000),
  [],
  [[]],
  {},
  { t: 'hello' },
  { epoch: 'e', seq: 1 },
]

/** The message as text: whole with probability `whole`, else damaged in some places, rarely no JSON. */
export function damage(random: SeededRandom, message: Json, whole: number): string {
  if (random.chance(whole)) return JSON.stringify(message)
  let damaged = message
  for (let i = 1 + random.below(3); i > 0; i--) damaged = change(random, damaged)
  const text = JSON.stringify(damaged)
  if (random.chance(0.9)) return text
  const at = random.below(text.length)
  return random.chance(0.5) ? text.slice(0, at) : `${text.slice(0, at)}\u0007${text.slice(at)}`
}

/** The conversation with messages left out, repeated, moved. */
export function shuffle<T>(random: SeededRandom, conversation: readonly T[]): T[] {
  const messages = [...conversation]
  for (let i = random.below(4); i > 0 && messages.length > 0; i--) {
    const from = random.below(messages.length)
    const [message] = random.chance(0.5) ? messages.splice(from, 1) : [messages[from]]
    if (message !== undefined && random.chance(0.7)) {
      messages.splice(random.below(messages.length + 1), 0, message)
    }
  }
  return messages
}

function change(random: SeededRandom, value: Json): Json {
  if (typeof value !== 'object' || value === null) return oddOf(random, value)
  if (random.chance(0.1)) return random.pick(ODD)
  if (Array.isArray(value)) return changeList(random, value)
  const names = Object.keys(value)
  if (names.length === 0) return random.pick(ODD)
  const name = random.pick(names)
  const copy = { ...value }
  if (random.chance(0.1)) delete copy[name]
  else if (random.chance(0.05)) copy[String(random.pick(['t', 'n', 'extra']))] = random.pick(ODD)
  else copy[name] = change(random, value[name] ?? null)
  return copy
}

function changeList(random: SeededRandom, list: readonly Json[]): Json[] {
  const at = random.below(list.length + 1)
  const item = list[at]
  if (item === undefined) return [...list, random.pick(ODD)]
  if (random.chance(0.1)) return list.filter((_, i) => i !== at)
  if (random.chance(0.1)) return [...list, ...Array.from({ length: random.below(50) }, () => item)]
  return list.map((each, i) => (i === at ? change(random, each) : each))
}

function oddOf(random: SeededRandom, value: Json): Json {
  if (typeof value === 'number' && random.chance(0.5)) return value + random.below(5) - 2
  if (typeof value === 'string' && value.length > 0 && random.chance(0.3)) {
    const at = random.below(value.length)
    return value.slice(0, at) + value.slice(at + 1)
  }
  return random.pick(ODD)
}
