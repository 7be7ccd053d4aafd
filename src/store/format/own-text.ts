/**
 * Texts that stand alone. An engine may keep a part of a text as a window into the whole, which then
 * lives as long as the part: a key would hold its whole row in memory, an entry a whole request.
 */

/** Texts up to this many bytes are copied through one buffer that is made once. */
const SCRATCH_BYTES = 64 * 1024
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

/** The same text, as a copy that holds nothing else in memory. It must be well-formed. */
export function ownText(text: string): string {
  // A character takes three bytes at most.
  if (text.length * 3 > SCRATCH_BYTES) return Buffer.from(text).toString()
  return scratch.toString('utf8', 0, scratch.write(text))
}
