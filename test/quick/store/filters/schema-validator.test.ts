/** Checking values against JSON Schemas and Standard Schemas. */
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { parseExact } from '../../../../src/core/json/json.ts'
import { issuesText, type Schema } from '../../../../src/core/json/schema.ts'
import { assertSchema, validateSchema } from '../../../../src/store/filters/schema-validator.ts'

async function issuesOf(schema: Schema, json: string): Promise<string> {
  const { issues } = await validateSchema(schema, parseExact(json))
  return issues === undefined ? '' : issuesText(issues)
}

describe('a JSON Schema', () => {
  const schema = {
    type: 'object',
    properties: { a: { type: 'array', items: { properties: { b: { type: 'integer' } } } } },
    required: ['a'],
    additionalProperties: false,
  }

  it('names the place of what is wrong', async () => {
    expect(await issuesOf(schema, '{"a":[{"b":1}]}')).toBe('')
    expect(await issuesOf(schema, '{"a":[{"b":"1"}]}')).toBe('a.0.b: must be integer')
    expect(await issuesOf(schema, '{}')).toBe("must have required property 'a'")
    expect(await issuesOf(schema, '{"a":[],"x~/":1}')).toBe(
      'must NOT have additional properties: "x~/"',
    )
    expect(await issuesOf(schema, 'null')).toBe('must be object')
  })

  it('takes integers beyond a double, and gives them back as they are', async () => {
    const value = parseExact('{"a":[{"b":12345678901234567890}],"a2":1}')
    const loose = { ...schema, additionalProperties: true }
    expect(await validateSchema(loose, value)).toEqual({ value })
    expect(await validateSchema(loose, value)).toHaveProperty('value.a.0.b', 12345678901234567890n)
  })

  it('is read by the draft that it names', async () => {
    const draft = 'http://json-schema.org/draft-07/schema#'
    // `prefixItems` is of 2020-12; draft 07 knows no such keyword and lets everything pass.
    const tuple = { prefixItems: [{ type: 'string' }] }
    expect(await issuesOf(tuple, '[1]')).toBe('0: must be string')
    expect(await issuesOf({ $schema: draft, ...tuple }, '[1]')).toBe('')
    expect(await issuesOf({ $schema: draft, items: [{ type: 'string' }] }, '[1]')).not.toBe('')
  })

  it('lets formats and unknown keywords pass, and may share its $id with another', async () => {
    const unknown = { $id: 'urn:example:x', type: 'string', format: 'email', 'x-note': 1 }
    expect(await issuesOf(unknown, '"no email"')).toBe('')
    expect(await issuesOf({ ...unknown, type: 'number' }, '"text"')).toBe('must be number')
  })

  it.each([
    ['a type that does not exist', { type: 'nonsense' }],
    ['a pattern that is no expression', { pattern: '[' }],
    ['a reference to elsewhere, which nothing fetches', { $ref: 'http://127.0.0.1:1/x.json' }],
    ['an asynchronous schema', { $async: true, type: 'string' }],
  ])('is refused with %s', (_name, refused) => {
    expect(() => assertSchema(refused, 'items/*')).toThrow(/^ooo: schema of items\/\* is refused: /)
  })
})

describe('a Standard Schema', () => {
  it('names the place of what is wrong, at once or later', async () => {
    const schema = z.object({ a: z.array(z.object({ b: z.number() })) })
    expect(await issuesOf(schema, '{"a":[{"b":1}]}')).toBe('')
    expect(await issuesOf(schema, '{"a":[{"b":"1"}]}')).toMatch(/^a\.0\.b: /)
    const later = z.string().refine(async (text) => Promise.resolve(text === 'yes'), 'say yes')
    expect(await issuesOf(later, '"yes"')).toBe('')
    expect(await issuesOf(later, '"no"')).toBe('say yes')
  })

  it('may spell the steps of a path as objects, and is refused in another version', async () => {
    const issues = [{ message: 'bad', path: [{ key: 'a' }, 0] }]
    const standard = { version: 1, vendor: 'test', validate: () => ({ issues }) } as const
    expect(await issuesOf({ '~standard': standard }, '1')).toBe('a.0: bad')
    const other = { '~standard': { ...standard, version: 2 } } as unknown as Schema
    expect(() => assertSchema(other, 'x')).toThrow('Standard Schema version 2')
  })

  it('has long lists of issues cut short', () => {
    const issues = Array.from({ length: 12 }, (_, i) => ({ path: `p${i}`, message: 'bad' }))
    expect(issuesText(issues)).toMatch(/^p0: bad; .*p9: bad; and 2 more$/)
  })
})
