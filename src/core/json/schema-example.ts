/**
 * The form in which tools are shown a schema: an object with the default of every property, as the
 * older server made it from its types.
 */
import { isStandardSchema, type JsonSchema, type Schema } from './schema.ts'

/** Deepest nesting that is followed; what lies below is null. Also ends circular references. */
const MAX_DEPTH = 20

/** Names of the older server for what is not an object. */
const KINDS: Readonly<Record<string, string>> = {
  array: 'slice',
  string: 'string',
  integer: 'int',
  number: 'float64',
  boolean: 'bool',
}

/**
 * The display form: an object of defaults; `{"type":"slice"}` and the like for other values; undefined
 * when there is nothing to show, as for a validator that cannot write itself as JSON Schema.
 */
export function schemaExample(schema: Schema): Readonly<Record<string, unknown>> | undefined {
  const json = isStandardSchema(schema) ? standardAsJson(schema) : schema
  if (json === undefined) return undefined
  const root = resolve(json, json, 0)
  const kind = typeOf(root)
  if (kind !== 'object') {
    const shown = kind === undefined ? undefined : KINDS[kind]
    return shown === undefined ? undefined : { type: shown }
  }
  const shown = example(root, json, 0)
  return isObject(shown) && Object.keys(shown).length > 0 ? shown : undefined
}

function standardAsJson(schema: Schema): JsonSchema | undefined {
  const standard = isStandardSchema(schema) ? schema['~standard'] : undefined
  try {
    return standard?.jsonSchema?.input({ target: 'draft-2020-12' })
  } catch {
    // A library says so by throwing when a schema has no JSON form; then there is nothing to show.
    return undefined
  }
}

/** The zero value of a schema, or its declared default. */
function example(schema: JsonSchema, root: JsonSchema, depth: number): unknown {
  if ('default' in schema) return schema.default
  if ('const' in schema) return schema.const
  if (Array.isArray(schema.enum)) return schema.enum[0] ?? null
  const inner = (part: unknown): unknown =>
    isObject(part) ? example(resolve(part, root, depth), root, depth + 1) : null
  switch (typeOf(schema)) {
    case 'object':
      return Object.fromEntries(
        Object.entries(asObject(schema.properties)).map(([name, part]) => [name, inner(part)]),
      )
    case 'array':
      return [inner(schema.items)]
    case 'string':
      return ''
    case 'integer':
    case 'number':
      return 0
    case 'boolean':
      return false
    default:
      return null
  }
}

/** Follows `$ref` inside the document, and takes the first of `anyOf` and `oneOf`; joins `allOf`. */
function resolve(schema: JsonSchema, root: JsonSchema, depth: number): JsonSchema {
  if (depth > MAX_DEPTH) return {}
  const reference = schema.$ref
  if (typeof reference === 'string') {
    return resolve(referenced(root, reference), root, depth + 1)
  }
  for (const keyword of ['anyOf', 'oneOf']) {
    const choices: unknown = schema[keyword]
    if (!Array.isArray(choices) || schema.properties !== undefined) continue
    const choice = choices.find((part) => isObject(part) && typeOf(part) !== 'null')
    if (isObject(choice))
      return resolve({ ...schema, [keyword]: undefined, ...choice }, root, depth + 1)
  }
  if (!Array.isArray(schema.allOf)) return schema
  const parts = schema.allOf.filter(isObject).map((part) => resolve(part, root, depth + 1))
  const properties = Object.assign({}, ...[...parts, schema].map((part) => part.properties))
  return { ...Object.assign({}, ...parts, schema), allOf: undefined, properties }
}

function referenced(root: JsonSchema, reference: string): JsonSchema {
  if (reference !== '#' && !reference.startsWith('#/')) return {}
  let place: unknown = root
  for (const step of reference.split('/').slice(1)) {
    const name = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    place = isObject(place) ? place[name] : undefined
  }
  return asObject(place)
}

/** The first type that is not null; an object when there are properties. */
function typeOf(schema: JsonSchema): string | undefined {
  const type: unknown = schema.type
  const first: unknown = Array.isArray(type) ? type.find((name) => name !== 'null') : type
  if (typeof first === 'string') return first
  return isObject(schema.properties) ? 'object' : undefined
}

function asObject(value: unknown): JsonSchema {
  return isObject(value) ? value : {}
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
