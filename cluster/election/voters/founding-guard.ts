/** What has to be so before a list of voters is begun again: it may lose what was acknowledged. */
import { isMajority, votersOf } from '../../../src/core/voter-list.ts'
import type { BallotState } from './ballot-state.ts'

/** Whether a voter counts, or is here and will once it has sent what it holds. */
export function canVote(state: BallotState, name: string): boolean {
  const { self, isWhole, founder, connected } = state
  const isFounding = founder !== undefined
  if (name === self) return isWhole || isFounding
  const vote = connected.get(name)?.vote
  return vote !== undefined && vote.refused === 0 && (vote.whole || isFounding)
}

/**
 * Why a list is not begun with these voters; undefined: nothing speaks against it.
 * @param giveUp voters of before that somebody says are given up
 */
export function whyNotFound(
  state: BallotState,
  voters: readonly string[],
  giveUp: readonly string[] | undefined,
): string | undefined {
  const { list, founder, self, connected } = state
  const present = list ?? founder
  if (present !== undefined && isMajority(present, (name) => canVote(state, name))) {
    return 'a majority of the voters is here or can be waited for: nothing has to be given up; give add or remove'
  }
  const absent = voters.filter((name) => name !== self && !connected.has(name))
  if (absent.length * 2 >= voters.length) {
    return `too few of these are connected; missing: ${absent.join(', ')}`
  }
  const before = present === undefined ? [] : votersOf(present)
  const lost = before.filter((name) => !voters.includes(name))
  const isNamed =
    giveUp !== undefined && [...new Set(giveUp)].sort().join() === [...lost].sort().join()
  if (isNamed) return undefined
  const given = lost.length === 0 ? 'what the disks of before held' : lost.join(', ')
  const flag = lost.length === 0 ? 'none' : lost.join(',')
  return `found would begin with ${voters.join(', ')}, from what the leader and they have now, and gives up ${given}: what only those have acknowledged is lost. If that is meant: --give-up ${flag} ("giveUp":${JSON.stringify(lost)})`
}
