/**
 * Schemas of values: a JSON Schema object, or any validator that follows Standard Schema version 1
 * (standardschema.dev), such as those of Zod, Valibot and ArkType. Validation itself is
 * `validateSchema` in store/filters/schema-validator.ts.
 */

/** A JSON Schema, draft 2020-12 unless its `$schema` names draft 07. */
export interface JsonSchema {
  readonly [keyword: string]: unknown
}

/** The part of Standard Schema version 1 that is used here. */
export interface StandardSchema<Output = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined
    /** Where the library can write its schema as JSON Schema (Standard JSON Schema). */
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: 'draft-2020-12' }) => Record<string, unknown>
    }
  }
}

/** What a Standard Schema answers. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

export type Schema = JsonSchema | StandardSchema

/** One thing that is wrong with a value. */
export interface SchemaIssue {
  /** Place inside the value, such as `a.0.b`; empty for the value itself. */
  readonly path: string
  readonly message: string
}

/** The value as the schema gives it back (a Standard Schema may transform it), or what is wrong. */
export type SchemaResult =
  | { readonly value: unknown; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

export function isStandardSchema(schema: Schema): schema is StandardSchema {
  return '~standard' in schema
}

/** Issues listed in an error's text; the rest is counted. */
const MAX_LISTED_ISSUES = 10

/** The issues as one line: `a.0.b: must be string; c: is required`. */
export function issuesText(issues: readonly SchemaIssue[]): string {
  const listed = issues
    .slice(0, MAX_LISTED_ISSUES)
    .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
  const more = issues.length - listed.length
  return `${listed.join('; ')}${more > 0 ? `; and ${more} more` : ''}`
}

/** Asks a Standard Schema. What its `validate` throws is thrown. */
export function validateStandard(
  schema: StandardSchema,
  value: unknown,
): SchemaResult | Promise<SchemaResult> {
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then(standardResult) : standardResult(result)
}

function standardResult(result: StandardResult<unknown>): SchemaResult {
  if (result.issues === undefined) return { value: result.value }
  return {
    issues: result.issues.map(({ message, path }) => ({
      message,
      path: (path ?? [])
        .map((step) => String(typeof step === 'object' ? step.key : step))
        .join('.'),
    })),
  }
}
