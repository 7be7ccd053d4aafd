/** Under which grant a node runs: what its engine needs to take part in decisions. */
import type { ReplicationStore } from '../../../src/store/replication-store.ts'
import { placesInStep } from '../../progress/missed-deletes.ts'
import type { Ballot } from './ballot.ts'
import type { Voting } from './voting.ts'

export interface Standing {
  /** URL of the elected leader that is followed; undefined: this node leads, or nobody is known to. */
  readonly follows: string | undefined
  readonly voting: Voting
  /** Of this node as the leader of a grant. */
  readonly ballot: Ballot | undefined
}

/**
 * What tells followers the grant. A node that does not lead, or not yet, is followed for a moment where others know
 * less of the lease: it tells the latest grant that it took part in, and what it was in step with, so that it is
 * judged like a leader (`missed-deletes.ts`), and counts no votes.
 */
export function grantsOf(
  standing: Standing | undefined,
  store: Pick<ReplicationStore, 'id' | 'meta' | 'pastEpochs'>,
): Pick<Ballot, 'join'> | undefined {
  if (standing === undefined) return undefined
  const { ballot, voting } = standing
  if (ballot !== undefined) return ballot
  return {
    join: (peer) => {
      const { n, list: voters } = voting
      const places = placesInStep(store)
      peer.send({ t: 'grant', n, decides: false, founds: false, voters, places })
      return { voted: () => undefined, left: () => undefined }
    },
  }
}
