/** A follower that replicates what its leader does not: what it writes there stays in its outbox. */

import { mayOverlap } from '../../src/core/keys/pattern-overlap.ts'
import type { Logger } from '../../src/core/ports/logger.ts'
import type { Hello } from '../../src/core/wire/protocol.ts'
import type { Placement } from '../members/placement.ts'

export function warnOfForeign(
  { name: follower, scopes }: Hello,
  { placement, logger }: { readonly placement: Placement; readonly logger: Logger },
): void {
  const foreign = scopes.filter(
    (path) => !placement.scopes.some((scope) => mayOverlap(scope.path, path)),
  )
  if (foreign.length === 0) return
  logger.warn('a follower replicates what this node does not', { follower, scopes: foreign.join() })
}
