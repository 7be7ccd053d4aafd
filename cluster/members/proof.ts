/**
 * Nodes that ask each other something prove that they have the cluster token without showing it: each a MAC
 * of what is said, over a nonce of the one who asks. A token that can be guessed can be guessed from a MAC too:
 * whoever asks shows one first, so that strangers are answered none.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

const NONCE_HEADER = 'ooo-nonce'
const PROOF_HEADER = 'ooo-proof'
const NONCE = /^[A-Za-z0-9_-]{22,64}$/

export type ProofHeaders = Readonly<Record<string, string>>

/** Headers of a request by a node with this token, which makes who has it too prove it in the answer. */
export function challenge(token: string): ProofHeaders {
  const nonce = randomBytes(24).toString('base64url')
  return { [NONCE_HEADER]: nonce, [PROOF_HEADER]: proof(token, 'question', nonce, '') }
}

/** Headers of the answer to a request with these; none when it was not made by one with this token. */
export function proveAnswer(
  token: string | undefined,
  asked: IncomingHttpHeaders,
  body: string,
): ProofHeaders {
  const nonce = asked[NONCE_HEADER]
  if (token === undefined || typeof nonce !== 'string' || !NONCE.test(nonce)) return {}
  if (!isProof(asked[PROOF_HEADER], proof(token, 'question', nonce, ''))) return {}
  return { [PROOF_HEADER]: proof(token, 'answer', nonce, body) }
}

/** Whether this is the answer to that challenge of one who has the token. */
export function isProven(
  token: string,
  asked: ProofHeaders,
  answer: { readonly headers: IncomingHttpHeaders; readonly body: Uint8Array },
): boolean {
  const body = new TextDecoder().decode(answer.body)
  const expected = proof(token, 'answer', asked[NONCE_HEADER] ?? '', body)
  return isProof(answer.headers[PROOF_HEADER], expected)
}

function proof(token: string, role: 'question' | 'answer', nonce: string, body: string): string {
  return createHmac('sha256', token).update(`ooo ${role} ${nonce} ${body}`).digest('base64url')
}

function isProof(shown: unknown, expected: string): boolean {
  if (typeof shown !== 'string' || shown.length !== expected.length) return false
  return timingSafeEqual(Buffer.from(shown), Buffer.from(expected))
}
