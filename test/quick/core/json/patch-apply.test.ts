import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../../src/core/errors.ts'
import { compactJson, parseNodes } from '../../../../src/core/json/json.ts'
import { diffJson } from '../../../../src/core/json/patch.ts'
import { PatchedDocument } from '../../../../src/core/json/patch-apply.ts'
import { fc } from '../../../support/property.ts'

function patched(document: string, ...patches: string[]): string {
  const result = new PatchedDocument(parseNodes(document))
  for (const patch of patches) result.apply(parseNodes(patch))
  return result.text
}

function codeOf(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return isStateError(error) ? error.code : error
  }
}

describe('a patched document', () => {
  it('adds, replaces and removes members and items, digit for digit', () => {
    const document = '{"a":1.50,"big":12345678901234567890,"l":[1,2,3]}'
    expect(patched(document, '[{"op":"replace","path":"/a","value":1e2}]')).toBe(
      '{"a":1e2,"big":12345678901234567890,"l":[1,2,3]}',
    )
    expect(
      patched(
        document,
        '[{"op":"remove","path":"/l/1"},{"op":"add","path":"/l/0","value":0.10}]',
        '[{"op":"add","path":"/l/-","value":{"x":1.0}},{"op":"remove","path":"/a"}]',
        '[{"op":"add","path":"/l/3/y","value":2.0}]',
      ),
    ).toBe('{"big":12345678901234567890,"l":[0.10,1,3,{"x":1.0,"y":2.0}]}')
  })

  it('replaces the whole document', () => {
    expect(patched('[1]', '[{"op":"replace","path":"","value":{"a":[]}}]')).toBe('{"a":[]}')
  })

  it('moves, copies and tests', () => {
    expect(patched('{"a":{"b":1}}', '[{"op":"move","from":"/a/b","path":"/c"}]')).toBe(
      '{"a":{},"c":1}',
    )
    expect(
      patched(
        '{"a":{"b":1}}',
        '[{"op":"copy","from":"/a","path":"/c"},{"op":"replace","path":"/c/b","value":2}]',
      ),
    ).toBe('{"a":{"b":1},"c":{"b":2}}')
    expect(patched('{"a":1}', '[{"op":"test","path":"/a","value":1}]')).toBe('{"a":1}')
  })

  it('reads ~0 and ~1 in a path, and keeps names that need escaping', () => {
    expect(patched('{"a/b":1,"m~n":2}', '[{"op":"remove","path":"/a~1b"}]')).toBe('{"m~n":2}')
    expect(patched('{"a/b":1}', '[{"op":"add","path":"/m~0\\"n","value":3}]')).toBe(
      '{"a/b":1,"m~\\"n":3}',
    )
  })

  it.each([
    ['{"op":"add"}'],
    ['[1]'],
    ['[{"op":"add","path":"/a"}]'],
    ['[{"op":"add","value":1}]'],
    ['[{"op":"add","path":"a","value":1}]'],
    ['[{"op":"turn","path":"/a","value":1}]'],
    ['[{"op":"replace","path":"/none","value":1}]'],
    ['[{"op":"remove","path":"/none"}]'],
    ['[{"op":"remove","path":""}]'],
    ['[{"op":"add","path":"/s/x","value":1}]'],
    ['[{"op":"add","path":"/l/2","value":1}]'],
    ['[{"op":"replace","path":"/l/1","value":1}]'],
    ['[{"op":"remove","path":"/l/01"}]'],
    ['[{"op":"remove","path":"/l/-"}]'],
    ['[{"op":"test","path":"/s","value":1}]'],
    ['[{"op":"move","from":"/l","path":"/l/0"}]'],
  ])('refuses %s', (patch) => {
    expect(codeOf(() => patched('{"s":"text","l":[0]}', patch))).toBe('invalid_message')
  })

  it('refuses to grow past its limit, however it grows, and lets it shrink and grow below', () => {
    const document = new PatchedDocument(parseNodes('{"a":"0123456789"}'), 100)
    for (let i = 0; i < 200; i++) {
      document.apply(parseNodes(`[{"op":"replace","path":"/a","value":"${'x'.repeat(i % 50)}"}]`))
    }
    const double = parseNodes('[{"op":"copy","from":"","path":"/b"}]')
    document.apply(parseNodes(`[{"op":"replace","path":"/a","value":"${'x'.repeat(60)}"}]`))
    expect(codeOf(() => document.apply(double))).toBe('too_large')
  })

  it('turns any document into any other by the patch between them', () => {
    const json = fc.json({ maxDepth: 4 }).map((text) => compactJson(text))
    fc.assert(
      fc.property(json, json, json, (a, b, c) => {
        const texts = [a, b, c].map((text) => `{"root":${text}}`)
        const document = new PatchedDocument(parseNodes(texts[0] ?? ''))
        let before = texts[0] ?? ''
        for (const after of texts.slice(1)) {
          const patch = diffJson(before, after)
          if (patch === undefined) return
          document.apply(parseNodes(patch))
          expect(JSON.parse(document.text)).toEqual(JSON.parse(after))
          before = after
        }
      }),
      { numRuns: 300 },
    )
  })
})
