/** Under which grant a node runs: what its engine needs to take part in decisions. */
import type { Ballot } from './ballot.ts'
import type { Voting } from './voting.ts'

export interface Standing {
  /** URL of the elected leader that is followed; undefined: this node leads, or nobody is known to. */
  readonly follows: string | undefined
  readonly voting: Voting
  /** Of this node as the leader of a grant. */
  readonly ballot: Ballot | undefined
}
