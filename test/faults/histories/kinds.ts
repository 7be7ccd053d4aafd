/** All kinds of rounds, in the order in which they take turns. */
import type { RoundKind } from './round.ts'
import { STAR } from './scenarios/star.ts'
import { TREE } from './scenarios/tree.ts'

export const KINDS: readonly RoundKind[] = [STAR, TREE]
