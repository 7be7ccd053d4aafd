/**
 * Matching a glob whose only special character is `*`, as every glob of a client is. A star stays within
 * its segment, so the first match from the left of each literal between stars is as good as any, and no
 * character of pattern or key is looked at more than a fixed number of times.
 */

const STAR = 42
/** Literals up to so many characters are looked for one place after the other. */
const SHORT_LITERAL = 4

/** Whether `key` is covered by `pattern`, segment by segment. */
export function matchStars(pattern: string, key: string): boolean {
  let p = 0
  let k = 0
  for (;;) {
    const patternEnd = segmentEnd(pattern, p)
    const keyEnd = segmentEnd(key, k)
    if (!matchSegment(pattern, p, patternEnd, key, k, keyEnd)) return false
    if (patternEnd === pattern.length || keyEnd === key.length) {
      return patternEnd === pattern.length && keyEnd === key.length
    }
    p = patternEnd + 1
    k = keyEnd + 1
  }
}

function segmentEnd(text: string, from: number): number {
  const end = text.indexOf('/', from)
  return end === -1 ? text.length : end
}

/** Compares what lies before the first star and after the last, then looks for what lies between. */
function matchSegment(
  pattern: string,
  patternStart: number,
  patternEnd: number,
  key: string,
  keyStart: number,
  keyEnd: number,
): boolean {
  let p = patternStart
  let k = keyStart
  for (; p < patternEnd && pattern.charCodeAt(p) !== STAR; p++, k++) {
    if (k === keyEnd || pattern.charCodeAt(p) !== key.charCodeAt(k)) return false
  }
  if (p === patternEnd) return k === keyEnd
  let last = patternEnd
  let end = keyEnd
  for (; pattern.charCodeAt(last - 1) !== STAR; last--, end--) {
    if (end === k || pattern.charCodeAt(last - 1) !== key.charCodeAt(end - 1)) return false
  }
  // Both ends are stars now, perhaps the same one.
  for (p++; p < last; p++) {
    const start = p
    while (pattern.charCodeAt(p) !== STAR) p++
    if (p === start) continue
    k =
      p - start > SHORT_LITERAL
        ? endOfFirst(pattern.slice(start, p), key, k, end)
        : endOfShort(pattern, start, p, key, k, end)
    if (k === -1) return false
  }
  return true
}

/** Where the first occurrence of a short part of the pattern within the key's part ends; -1 for none. */
function endOfShort(
  pattern: string,
  start: number,
  literalEnd: number,
  key: string,
  from: number,
  end: number,
): number {
  const length = literalEnd - start
  const first = pattern.charCodeAt(start)
  for (let k = from; k + length <= end; k++) {
    if (key.charCodeAt(k) !== first) continue
    let matched = 1
    while (
      matched < length &&
      key.charCodeAt(k + matched) === pattern.charCodeAt(start + matched)
    ) {
      matched++
    }
    if (matched === length) return k + length
  }
  return -1
}

/** The same for a literal of any length. */
function endOfFirst(literal: string, key: string, from: number, end: number): number {
  const steps = fallbacks(literal)
  let matched = 0
  for (let k = from; k < end; k++) {
    const code = key.charCodeAt(k)
    while (matched > 0 && code !== literal.charCodeAt(matched)) matched = steps[matched - 1] ?? 0
    if (code !== literal.charCodeAt(matched)) continue
    if (++matched === literal.length) return k + 1
  }
  return -1
}

/**
 * For each prefix of `literal` the length of its longest proper prefix that is also its end: how much of a
 * match stays when the next character is another one (Knuth, Morris and Pratt).
 */
function fallbacks(literal: string): Uint32Array {
  const steps = new Uint32Array(literal.length)
  let matched = 0
  for (let i = 1; i < literal.length; i++) {
    const code = literal.charCodeAt(i)
    while (matched > 0 && code !== literal.charCodeAt(matched)) matched = steps[matched - 1] ?? 0
    if (code === literal.charCodeAt(matched)) matched++
    steps[i] = matched
  }
  return steps
}
