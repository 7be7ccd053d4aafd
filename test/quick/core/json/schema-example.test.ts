/** How schemas are shown to tools. */
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { Schema } from '../../../../src/core/json/schema.ts'
import { schemaExample } from '../../../../src/core/json/schema-example.ts'

const cases: readonly [string, Schema, object | undefined][] = [
  ['nothing', {}, undefined],
  ['an object without properties', { type: 'object' }, undefined],
  ['a text', { type: 'string' }, { type: 'string' }],
  ['a list', { type: 'array', items: { type: 'string' } }, { type: 'slice' }],
  ['a type that may be null', { type: ['null', 'integer'] }, { type: 'int' }],
  [
    'defaults of every type',
    {
      properties: {
        text: { type: 'string' },
        count: { type: 'integer' },
        size: { type: 'number' },
        on: { type: 'boolean' },
        list: { type: 'array', items: { properties: { a: { type: 'string' } } } },
        map: { type: 'object', additionalProperties: { type: 'string' } },
        any: {},
        none: { type: 'null' },
      },
    },
    {
      text: '',
      count: 0,
      size: 0,
      on: false,
      list: [{ a: '' }],
      map: {},
      any: null,
      none: null,
    },
  ],
  [
    'values that the schema names',
    { properties: { a: { default: 5 }, b: { const: 'x' }, c: { enum: ['first', 'second'] } } },
    { a: 5, b: 'x', c: 'first' },
  ],
  [
    'references inside the document, circular ones too',
    {
      $defs: { node: { properties: { name: { type: 'string' }, next: { type: 'null' } } } },
      properties: { head: { $ref: '#/$defs/node' }, far: { $ref: 'https://elsewhere.example/x' } },
    },
    { head: { name: '', next: null }, far: null },
  ],
  [
    'alternatives by the first that is not null, and joined parts',
    {
      allOf: [
        { properties: { a: { type: 'string' } } },
        { properties: { b: { type: 'integer' } } },
      ],
      properties: { c: { anyOf: [{ type: 'null' }, { type: 'boolean' }] } },
    },
    { a: '', b: 0, c: false },
  ],
]

describe('the example of a schema', () => {
  it.each(cases)('shows %s', (_name, schema, expected) => {
    expect(schemaExample(schema)).toEqual(expected)
  })

  it('ends for a schema that contains itself', () => {
    const circular = { properties: { next: { $ref: '#' } } }
    expect(JSON.stringify(schemaExample(circular))).toMatch(/^(\{"next":)+null\}+$/)
    const loop = { $defs: { a: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' }
    expect(schemaExample(loop)).toBeUndefined()
  })

  it('asks a Standard Schema that can write itself as JSON Schema', () => {
    expect(schemaExample(z.object({ a: z.string(), b: z.array(z.number()) }))).toEqual({
      a: '',
      b: [0],
    })
    const mute = { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } as const
    expect(schemaExample({ '~standard': mute })).toBeUndefined()
  })
})
