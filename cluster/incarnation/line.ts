/**
 * What a leader knows of the incarnations of one follower, and whom it lets in: pure. A node's incarnations
 * form one line, each naming those before it (`src/store/recovery/incarnations.ts`).
 *
 * | the hello names                                  | then                                             |
 * | ------------------------------------------------ | ------------------------------------------------ |
 * | the newest that is known, as its own             | let in: it has dialled again                     |
 * | the newest that is known, as one before its own  | let in: it was started again                     |
 * | an older one that is known                       | a clone: two lines from one incarnation on       |
 * | none that is known                               | let in, unless another one is connected          |
 *
 * A node that was restored from a backup, or started more often than incarnations are told while it was away,
 * names none that is known, and so does every node to a leader that has lost or never had its line. Those may
 * be honest. So they wait only while an incarnation of another line is connected.
 */
import { MAX_INCARNATIONS } from '../../src/store/recovery/incarnations.ts'

/** Of one follower. */
export interface IncarnationLine {
  /** Incarnations of the line that was let in last, newest first; at least one. */
  readonly chain: readonly string[]
  /** The newest ones of lines that were let in before, latest first. */
  readonly replaced: readonly string[]
}

export type Verdict =
  /** Let in. `line`: what is known from then on; every connection of another incarnation is over. */
  | { readonly kind: 'next'; readonly line: IncarnationLine }
  /** Let in: nothing new is known. */
  | { readonly kind: 'again' }
  /** Refused for good: it was replaced, or is of another line that shares incarnations with this one. */
  | { readonly kind: 'clone' }
  /** Refused while the other one is connected. */
  | { readonly kind: 'occupied' }

/**
 * @param line undefined: nothing is known.
 * @param told what the hello names, its own first; at least one.
 * @param isConnected whether the newest incarnation of the line is connected.
 */
export function judgeIncarnation(
  line: IncarnationLine | undefined,
  reported: readonly string[],
  isConnected: boolean,
): Verdict {
  const [own = ''] = reported
  if (line === undefined) return { kind: 'next', line: lineOf(reported, []) }
  const { chain, replaced } = line
  const [newest = ''] = chain
  if (own === newest) return { kind: 'again' }
  if (reported.includes(newest)) {
    const before = chain.filter((id) => !reported.includes(id))
    return { kind: 'next', line: lineOf([...reported, ...before], replaced) }
  }
  if (reported.some((id) => chain.includes(id) || replaced.includes(id))) return { kind: 'clone' }
  if (isConnected) return { kind: 'occupied' }
  return { kind: 'next', line: lineOf(reported, [newest, ...replaced]) }
}

function lineOf(chain: readonly string[], replaced: readonly string[]): IncarnationLine {
  return {
    chain: chain.slice(0, MAX_INCARNATIONS),
    replaced: replaced.slice(0, MAX_INCARNATIONS),
  }
}
