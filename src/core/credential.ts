/** What can be a credential: it travels in a header, and must arrive as it was sent. */

const MAX_LENGTH = 4096

/** The rule in words, after "give". */
export const CREDENTIAL_RULE: string = `at most ${MAX_LENGTH} visible ASCII characters, with spaces only between them and without a line break`

/**
 * Visible ASCII with spaces inside (RFC 9110 section 5.5): a line break is refused by every client, white space at
 * the ends is cut off on the way, and other characters are encoded differently by different clients.
 */
export function isCredential(text: string): boolean {
  return text.length <= MAX_LENGTH && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text)
}
