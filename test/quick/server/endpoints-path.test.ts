/** Path templates and the order in which routes are asked. */

import { describe, expect, it } from 'vitest'
import type { Route } from '../../../src/server/contract/route.ts'
import { compileTemplate } from '../../../src/server/routing/path-template.ts'
import { Router } from '../../../src/server/routing/router.ts'
import { fc } from '../../support/property.ts'

const cases: readonly [string, string, Record<string, string> | undefined][] = [
  ['/a/b', '/a/b', {}],
  ['/a/b', '/a/b/', undefined],
  ['/a/b', '/a/bc', undefined],
  ['/a.b', '/axb', undefined],
  ['/a(b)+[c]', '/a(b)+[c]', {}],
  ['/{x}', '/', undefined],
  ['/{x}', '/a/b', undefined],
  ['/{x}', '/a b:c', { x: 'a b:c' }],
  ['/{x}-{y}', '/1-2', { x: '1', y: '2' }],
  ['/v{major:[0-9]+}.{minor:[0-9]+}', '/v12.3', { major: '12', minor: '3' }],
  ['/{rest:.*}', '/', { rest: '' }],
  ['/files/{rest:.*}', '/files/a/b', { rest: 'a/b' }],
  ['/{id:[a-f0-9]{4}}', '/beef', { id: 'beef' }],
  ['/{id:[a-f0-9]{4}}', '/beefy', undefined],
  ['/{a:x|y}', '/y', { a: 'y' }],
  ['/{a:x|y}/z', '/x', undefined],
  ['/{a:(b)(c)}/{d}', '/bc/e', { a: 'bc', d: 'e' }],
  ['/{a:(?<v9>b)}', '/b', { a: 'b' }],
  ['/{__proto__}', '/x', { ['__proto__']: 'x' }],
]

describe('a path template', () => {
  it.each(cases)('%s against %s', (template, path, expected) => {
    expect(compileTemplate(template).match(path)).toEqual(expected)
  })

  it('captures what a path was made of, whatever the characters', () => {
    const text = fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' })
    const literal = text.filter((value) => !/[{}]/.test(value))
    const segment = text.filter((value) => !value.includes('/'))
    const part = fc.oneof(
      literal.map((value) => ({ template: value.replaceAll('/', '-'), value: undefined })),
      segment.map((value) => ({ template: '{}', value })),
    )
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const template = parts.map((one, i) => `/${one.template.replace('{}', `{n${i}}`)}`).join('')
        const path = parts.map((one) => `/${one.value ?? one.template}`).join('')
        const expected = Object.fromEntries(
          parts.flatMap((one, i) => (one.value === undefined ? [] : [[`n${i}`, one.value]])),
        )
        expect(compileTemplate(template).match(path)).toEqual(expected)
      }),
    )
  })
})

describe('the router', () => {
  const route = (description: string, method: string, upgrades = false): Route => ({
    ...{ path: '/{name}', methods: [method], who: 'client', description },
    ...(upgrades ? { upgrade: () => undefined } : {}),
  })

  it('asks in order of registration, and forgets what was taken out', () => {
    const router = new Router()
    const removeFirst = router.add(route('first', 'GET'))
    router.add(route('second', 'GET', true))
    router.add(route('third', 'POST'))
    const found = (method: string | undefined): string | undefined =>
      router.find(method, '/p')?.route.description
    expect(['GET', undefined, 'POST'].map(found)).toEqual(['first', 'second', 'third'])
    expect(router.find('GET', '/p')?.variables).toEqual({ name: 'p' })
    removeFirst()
    removeFirst()
    expect(found('GET')).toBe('second')
    expect(router.find('PUT', '/p')).toBeUndefined()
  })
})
