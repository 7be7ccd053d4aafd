/** Finds what somebody probably meant to type. */

/** The word of least edit distance to `text`, or undefined when none is near. */
export function nearest(text: string, words: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.floor(text.replace(/^-+/, '').length / 3) + 1
  for (const word of words) {
    const distance = editDistance(text, word)
    if (distance < bestDistance) {
      best = word
      bestDistance = distance
    }
  }
  return best ?? words.find((word) => text.length > 3 && word.startsWith(text))
}

/** Edits between two texts: a character put in, left out, changed, or swapped with its neighbour. */
export function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    rows.push(row)
    for (let j = 1; j <= b.length; j++) {
      const changed = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] && i > 1 && j > 1
      row.push(
        Math.min(
          changed,
          at(i - 1, j) + 1,
          at(i, j - 1) + 1,
          swapped ? at(i - 2, j - 2) + 1 : changed,
        ),
      )
    }
  }
  return at(a.length, b.length)
}
