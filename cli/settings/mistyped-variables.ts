/** Environment variables that look like a setting's and are none: they would be passed over in silence. */
import type { Logger } from '../../src/core/ports/logger.ts'
import { editDistance } from '../terminal/nearest.ts'

/** Warns of each variable that is one edit, or in a long name two, from one of `known`. */
export function warnOfMistyped(
  env: Readonly<Record<string, string | undefined>>,
  known: readonly string[],
  logger: Logger,
): void {
  for (const name of Object.keys(env)) {
    if (!name.startsWith('OOO_') || known.includes(name)) continue
    // Others may have variables that begin alike; what is far from every setting is theirs.
    const edits = name.length < 12 ? 1 : 2
    const meant = known.find((variable) => editDistance(name, variable) <= edits)
    if (meant !== undefined) logger.warn('a variable is not known and ignored', { name, meant })
  }
}
