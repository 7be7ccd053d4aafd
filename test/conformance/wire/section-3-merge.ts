/** Section 3.4: the merge behind PATCH, every kind of existing value against every kind of patch value. */
import { equal } from './assert.ts'
import { section, type Tag, type WireCase } from './case.ts'
import type { Target } from './target.ts'

interface Row {
  readonly stored: string
  readonly patch: string
  /** What is stored afterwards; undefined for a conflict, which stores nothing. */
  readonly merged?: string
  /** Dotted paths of the conflicts. */
  readonly conflicts?: readonly string[]
  readonly tag?: Tag
}

const VALUES: Readonly<Record<string, string>> = {
  array: '[7]',
  string: '"new"',
  number: '9007199254740993',
  boolean: 'false',
  null: 'null',
}

const rows: Readonly<Record<string, Row>> = {
  'root object, object: kept, merged and added members': {
    stored: '{"kept":1,"both":{"x":1,"y":2}}',
    patch: '{"both":{"y":3},"added":[null]}',
    merged: '{"added":[null],"both":{"x":1,"y":3},"kept":1}',
  },
  'root array, object: by index, outside indices ignored': {
    stored: '[{"a":1},2,[3]]',
    patch: '{"0":{"b":2},"1":"two","9":"no","x":"no"}',
    merged: '[{"a":1,"b":2},"two",[3]]',
  },
  'nested object, object: recursion': {
    stored: '{"a":{"b":{"c":1}}}',
    patch: '{"a":{"b":{"d":2}}}',
    merged: '{"a":{"b":{"c":1,"d":2}}}',
  },
  'nested array, object: recursion by index': {
    stored: '{"a":[1,{"x":1}]}',
    patch: '{"a":{"1":{"y":2},"5":0}}',
    merged: '{"a":[1,{"x":1,"y":2}]}',
  },
  'nested scalar, object: replaced': {
    stored: '{"a":1}',
    patch: '{"a":{"b":1}}',
    merged: '{"a":{"b":1}}',
  },
  'nested null, object: replaced': {
    stored: '{"a":null}',
    patch: '{"a":{"b":1}}',
    merged: '{"a":{"b":1}}',
  },
  'absent key, object: added': { stored: '{}', patch: '{"a":{"b":1}}', merged: '{"a":{"b":1}}' },
  'members come out sorted, numbers as spelled': {
    stored: '{"z":{"b":1.50,"a":1e2},"k":9007199254740993}',
    patch: '{"m":2.0}',
    merged: '{"k":9007199254740993,"m":2.0,"z":{"a":1e2,"b":1.50}}',
  },
  'several conflicts are named by dotted path, one line each': {
    stored: '{"a":[{"b":{}}],"c":{},"d":1}',
    patch: '{"a":{"0":{"b":1}},"c":null,"d":2}',
    conflicts: ['a.0.b', 'c'],
  },
  ...perValue((kind, value) => ({
    [`nested object, ${kind}: conflict, nothing stored`]: {
      stored: '{"a":{"b":1},"c":1}',
      patch: `{"a":${value},"c":2}`,
      conflicts: ['a'],
    },
    [`nested array, ${kind}: replaced`]: {
      stored: '{"a":[1,2]}',
      patch: `{"a":${value}}`,
      merged: `{"a":${value}}`,
    },
    [`nested scalar, ${kind}: replaced`]: {
      stored: '{"a":"old"}',
      patch: `{"a":${value}}`,
      merged: `{"a":${value}}`,
    },
    [`nested null, ${kind}: replaced`]: {
      stored: '{"a":null}',
      patch: `{"a":${value}}`,
      merged: `{"a":${value}}`,
    },
    [`absent key, ${kind}: added`]: {
      stored: '{"b":1}',
      patch: `{"a":${value}}`,
      merged: `{"a":${value},"b":1}`,
    },
    [`root object, ${kind}: unchanged`]: {
      stored: '{"a":1}',
      patch: value,
      merged: '{"a":1}',
      tag: 'Q',
    },
    [`root array, ${kind}: unchanged`]: {
      stored: '[1]',
      patch: value,
      merged: '[1]',
      tag: 'Q',
    },
    [`root ${kind}, object: unchanged`]: {
      stored: kind === 'array' ? '1' : value,
      patch: '{"a":1}',
      merged: kind === 'array' ? '1' : value,
      tag: 'Q',
    },
    [`root scalar, ${kind}: unchanged`]: {
      stored: '"old"',
      patch: value,
      merged: '"old"',
      tag: 'Q',
    },
  })),
}

export const mergeCases: readonly WireCase[] = Object.entries(rows).flatMap(([name, row]) =>
  section('3.4', { [name]: (target) => merges(target, row) }, { tag: row.tag ?? 'C' }),
)

async function merges(target: Target, row: Row): Promise<void> {
  const path = target.at('a')
  await target.store(path, row.stored)
  const { status, body } = await target.patch(path, row.patch)
  if (row.merged !== undefined) {
    equal([status, body], [200, '{"index":"a"}'], 'answer')
    equal(await target.data(path), row.merged, 'what is stored')
    return
  }
  const texts = row.conflicts?.map((at) => `merge: patch value must be object for key "${at}"`)
  equal([status, body.split('\n').sort()], [400, texts], 'answer')
  equal(await target.data(path), row.stored, 'what is stored')
}

function perValue(
  make: (kind: string, value: string) => Readonly<Record<string, Row>>,
): Readonly<Record<string, Row>> {
  return Object.assign({}, ...Object.entries(VALUES).map(([kind, value]) => make(kind, value)))
}
