/** Checks values against schemas. JSON Schemas are compiled once each; nothing is fetched for them. */
import { Ajv, type AnySchema, type ErrorObject, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { errorText, StateError } from '../../core/errors.ts'
import {
  isStandardSchema,
  type JsonSchema,
  type Schema,
  type SchemaIssue,
  type SchemaResult,
  validateStandard,
} from '../../core/json/schema.ts'

const compiled = new WeakMap<JsonSchema, ValidateFunction>()

/**
 * Refuses a schema that cannot be used. Call at registration, so that no request has to find out.
 * @throws StateError `invalid_option` with the reason; `name` says whose schema it is.
 */
export function assertSchema(schema: Schema, name: string): void {
  if (isStandardSchema(schema)) {
    if (schema['~standard'].version === 1) return
    throw refusal(name, `Standard Schema version ${String(schema['~standard'].version)}`)
  }
  try {
    compile(schema)
  } catch (cause) {
    throw refusal(name, errorText(cause), cause)
  }
}

/**
 * Checks `value`, as `parseExact` reads it. JSON Schema answers at once and sees a `bigint` as a number;
 * a Standard Schema sees the value as it is, and may answer later.
 * @throws StateError `invalid_option` for a schema that `assertSchema` refuses.
 */
export function validateSchema(
  schema: Schema,
  value: unknown,
): SchemaResult | Promise<SchemaResult> {
  if (isStandardSchema(schema)) return validateStandard(schema, value)
  assertSchema(schema, 'a value')
  const validate = compile(schema)
  return validate(withNumbers(value)) ? { value } : { issues: (validate.errors ?? []).map(issue) }
}

function compile(schema: JsonSchema): ValidateFunction {
  let validate = compiled.get(schema)
  if (validate === undefined) {
    // Its validator would answer with a promise, which is always true.
    if (schema.$async === true) throw new Error('"$async" is not supported')
    // A compiler per schema: two schemas may have the same `$id`.
    const options = {
      strict: false,
      validateFormats: false,
      allErrors: false,
      logger: false,
    } as const
    const draft07 = String(schema.$schema ?? '').includes('draft-07')
    const compiler = draft07 ? new Ajv(options) : new Ajv2020(options)
    validate = compiler.compile(schema as AnySchema)
    compiled.set(schema, validate)
  }
  return validate
}

function issue({ instancePath, keyword, params, message }: ErrorObject): SchemaIssue {
  const steps = instancePath.split('/').slice(1)
  const path = steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~')).join('.')
  const extra: unknown = keyword === 'additionalProperties' ? params.additionalProperty : undefined
  const text = message ?? `fails "${keyword}"`
  return { path, message: extra === undefined ? text : `${text}: "${String(extra)}"` }
}

/** JSON Schema knows numbers only; a copy is made when there is a `bigint` in the value. */
function withNumbers(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) {
    const items = value.map(withNumbers)
    return items.some((item, i) => item !== value[i]) ? items : value
  }
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  const members = entries.map(([name, member]): [string, unknown] => [name, withNumbers(member)])
  const same = members.every(([, member], i) => member === entries[i]?.[1])
  return same ? value : Object.fromEntries(members)
}

function refusal(name: string, why: string, cause?: unknown): StateError {
  return new StateError('invalid_option', `ooo: schema of ${name} is refused: ${why}`, { cause })
}
