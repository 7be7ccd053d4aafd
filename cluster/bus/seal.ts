/**
 * Sealing of messages on a bus: whoever can write to it must not be able to speak for a leader. The
 * key is told on the stream, to those who were admitted to it, and is another one in each life of a
 * leader. What was sealed can be repeated by a stranger: the parts of the log it names make that
 * harmless. It can be read by everyone on the bus.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

/** Characters of a seal: 256 bits as base64url. */
const SEAL_LENGTH = 43

/** The text with its seal in front: HMAC-SHA256 over channel and text. */
export function sealText(key: string, channel: string, text: string): string {
  return sealOf(key, channel, text) + text
}

/** The text without its seal; undefined when it was not sealed with this key for this channel. */
export function openSealed(key: string, channel: string, sealed: string): string | undefined {
  const text = sealed.slice(SEAL_LENGTH)
  const shown = Buffer.from(sealed.slice(0, SEAL_LENGTH))
  const expected = Buffer.from(sealOf(key, channel, text))
  if (shown.length !== expected.length || !timingSafeEqual(shown, expected)) return undefined
  return text
}

function sealOf(key: string, channel: string, text: string): string {
  return createHmac('sha256', key).update(channel).update('\n').update(text).digest('base64url')
}
