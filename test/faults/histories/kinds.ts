/** All kinds of rounds, in the order in which they take turns. */
import type { RoundKind } from './round.ts'
import { ABSENT_CANDIDATE } from './scenarios/absent-candidate.ts'
import { CLOCKS, CLOCKS_TREE } from './scenarios/clocks.ts'
import { DRIFT_TREE, DRIFT_TREE_LATER } from './scenarios/drift-tree.ts'
import { REDIS, REDIS_CLOCKS, REDIS_TREE } from './scenarios/election.ts'
import { MOVED_LEAD } from './scenarios/moved-lead.ts'
import { REPARENT } from './scenarios/reparent.ts'
import { RESTORE } from './scenarios/restore.ts'
import { SCOPES } from './scenarios/scopes.ts'
import { STAR } from './scenarios/star.ts'
import { TREE } from './scenarios/tree.ts'

export const KINDS: readonly RoundKind[] = [
  STAR,
  TREE,
  CLOCKS,
  REPARENT,
  RESTORE,
  MOVED_LEAD,
  REDIS,
  SCOPES,
  CLOCKS_TREE,
  DRIFT_TREE,
  DRIFT_TREE_LATER,
  ABSENT_CANDIDATE,
  REDIS_TREE,
  REDIS_CLOCKS,
]
