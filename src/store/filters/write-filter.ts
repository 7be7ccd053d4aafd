/** Running a write filter: its schema first, then its function, then its result as text to store. */

import { StateError } from '../../core/errors.ts'
import { encodeJson } from '../../core/json/encode.ts'
import { parseExact } from '../../core/json/json.ts'
import { issuesText, type Schema } from '../../core/json/schema.ts'
import { invalidResult, refusalOf } from './entry.ts'
import type { WriteFilter } from './kinds.ts'
import { validateSchema } from './schema-validator.ts'

/**
 * The text to store: `json` itself when the filter gives nothing.
 * @throws StateError `filter_refused`, or what the filter threw when that is a StateError.
 */
export async function applyWriteFilter(
  run: WriteFilter | undefined,
  schema: Schema | undefined,
  key: string,
  json: string,
): Promise<string> {
  let data = parseExact(json)
  if (schema !== undefined) {
    const checked = await validateSchema(schema, data)
    if (checked.issues !== undefined) {
      throw new StateError('filter_refused', `schema: ${issuesText(checked.issues)}`)
    }
    data = checked.value
  }
  let result: unknown
  try {
    result = await run?.(key, data, json)
  } catch (error) {
    throw refusalOf(error)
  }
  if (result === undefined) return json
  try {
    return encodeJson(result)
  } catch (cause) {
    throw invalidResult(key, cause)
  }
}
