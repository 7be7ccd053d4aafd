/** Texts that are JSON, nearly JSON, or JSON that is dear to hold. */

const SCALARS = [
  '0',
  '-1',
  '1.50',
  '1e400',
  '12345678901234567890',
  'true',
  'null',
  '""',
  '"é\\u0000"',
]
const NAMES = [
  'a',
  'b',
  '0',
  '1',
  '__proto__',
  'constructor',
  'prototype',
  '',
  'a/b',
  '~',
  'toJSON',
]

/** One value. */
export function json(random, depth = 0) {
  const kind = random.below(depth > 4 ? 2 : 5)
  if (kind === 0) return random.one(SCALARS)
  if (kind === 1) return JSON.stringify(random.text('abc"\\ é\u2028😀', random.length(30)))
  const length = random.below(4)
  if (kind < 4) {
    const members = Array.from(
      { length },
      () => `${JSON.stringify(random.one(NAMES))}:${json(random, depth + 1)}`,
    )
    return `{${members.join(',')}}`
  }
  return `[${Array.from({ length }, () => json(random, depth + 1)).join(',')}]`
}

/** What takes much more memory or time than its text, or might. */
export function dearJson(random) {
  const length = random.chance(0.5) ? random.below(3_000_000) : 1000 + random.length(400_000)
  const repeated = (item) => `[${`${item},`.repeat(Math.ceil(length / (item.length + 1)))}${item}]`
  switch (random.below(9)) {
    case 0:
      return repeated('{}')
    case 1:
      return repeated('[]')
    case 2:
      return repeated('{"b":1,"a":{}}')
    case 3:
      return repeated(random.one(['1', '""', 'null', '1e9', '[1]']))
    case 4:
      return `{${Array.from({ length: length / 12 }, (_, i) => `"k${i}":${i % 3 ? '{}' : i}`).join(',')}}`
    case 5: {
      const depth = random.one([100, 511, 512, 513, 1000, 5000, 100_000])
      return '['.repeat(depth) + ']'.repeat(depth)
    }
    case 6: {
      const depth = random.one([100, 500, 600])
      return `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
    }
    case 7:
      return ` ${repeated('1').replaceAll(',', ' ,\n ')} `
    default:
      return JSON.stringify(random.one(['x', '\\', '\n', 'é']).repeat(length))
  }
}

/** A text with a few characters changed, so that it is probably no JSON any more. */
export function broken(random, text) {
  const at = random.below(text.length + 1)
  switch (random.below(4)) {
    case 0:
      return text.slice(0, at)
    case 1:
      return (
        text.slice(0, at) +
        random.one(['{', ']', '"', ',', '\\', '\u0001', '\ufeff']) +
        text.slice(at)
      )
    case 2:
      return text + text
    default:
      return text.slice(at)
  }
}

export function patch(random) {
  return random.chance(0.5) ? json(random) : `{"${random.one(NAMES)}":${json(random)},"7":{"x":1}}`
}

export function batch(random) {
  const operation = () => {
    const op = random.one(['set', 'push', 'patch', 'delete', 'move'])
    const data = op === 'delete' && random.chance(0.9) ? '' : `,"data":${json(random)}`
    const condition = random.chance(0.1)
      ? `,"ifMatch":${random.one(['"*"', '1', '[1,"2"]', '{}'])}`
      : ''
    return `{"op":"${op}","path":"${key(random)}"${data}${condition}}`
  }
  const length = random.chance(0.02) ? 1001 : random.length(60)
  return `{"operations":[${Array.from({ length }, operation).join(',')}]}`
}

/** One record as a line of a backup. */
export function backupLine(random) {
  const stamp = () => random.one(['1767225600000000000', '1', '0', '-1', '9'.repeat(20), '1.5'])
  const name = JSON.stringify(random.chance(0.8) ? `items/${random.below(30)}` : key(random))
  const origin = JSON.stringify(
    random.chance(0.8) ? `f${random.below(40)}` : random.text('a. \n', 9),
  )
  if (random.chance(0.2)) return `{"key":${name},"deleted":${stamp()},"origin":${origin}}`
  const head = `{"key":${name},"created":${stamp()},"updated":${stamp()},"origin":${origin}`
  const fields = random.one(['', '', '', ',"fields":{"marks":"x"}', ',"fields":[]', ',"crc":"0"'])
  return `${head}${fields},"data":${json(random)}}`
}

const PLACES = ['a', 'b', 'list', 'x-y_z.1']

/** A key or glob, mostly valid; few of them, so that data does not grow without end. */
export function key(random) {
  const place = random.one(PLACES)
  switch (random.below(12)) {
    case 0:
      return `${place}/*`
    case 1:
      return `${place}/*${'a'.repeat(random.length(600))}b`
    case 2:
      return `${'*/'.repeat(random.below(30))}*`
    case 3:
      return random.text('ab*/-_.', random.length(40))
    case 4:
      return `${place}/${'a'.repeat(random.length(900))}`
    case 5:
      return `${place}/*${'a*'.repeat(random.below(100))}b`
    default:
      return `${place}/${random.below(12)}`
  }
}
