/** How a request says when its write counts as done: `?durability=memory|process|disk`. */
import type { IncomingMessage } from 'node:http'
import { StateError } from '../../core/errors.ts'
import type { Durability } from '../../core/ports/storage-adapter.ts'
import { parseTarget } from '../exchange/request-url.ts'

const LEVELS: readonly Durability[] = ['memory', 'process', 'disk']

/**
 * The level the query asks for; undefined when it names none: that of the node holds.
 * @throws StateError `invalid_option` naming the value and the levels there are.
 */
export function durabilityOf(request: Pick<IncomingMessage, 'url'>): Durability | undefined {
  const query = new URLSearchParams(parseTarget(request.url)?.query)
  const [given, ...further] = query.getAll('durability')
  if (given === undefined) return undefined
  const level = LEVELS.find((known) => known === given)
  if (level !== undefined && further.length === 0) return level
  const shown = JSON.stringify([given, ...further].join(', '))
  throw new StateError(
    'invalid_option',
    `ooo: durability ${shown} is not one of: ${LEVELS.join(', ')}`,
  )
}
