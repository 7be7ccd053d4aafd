/**
 * Stands for the leader while there is none: what is written is pending for it, and it is out of reach. Nothing
 * can have this address (RFC 2606), and what speaks 2.0 leaves `https` alone. Users are never shown it.
 */
import { StateError } from './errors.ts'

export const UNKNOWN_LEADER = 'https://no-leader.invalid'

/** Why it is out of reach, and why nothing is decided. */
export const NO_LEADER = 'no leader at present'

/** The URL of a leader as users are shown it. */
export function leaderText(leader: string): string {
  return leader === UNKNOWN_LEADER ? 'nobody at present' : leader
}

/** Refuses a decision that there is nobody to make; nothing was written. */
export function undecidedWithoutLeader(what: string): StateError {
  return new StateError('undecided', `${what}: ${NO_LEADER}; nobody was asked`)
}
