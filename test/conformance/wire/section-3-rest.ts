/** Sections 3.1–3.5 without the merge rules: routing, GET, POST, PATCH, DELETE. */
import { ensure, equal } from './assert.ts'
import { section, type WireCase } from './case.ts'
import type { Target } from './target.ts'

const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain; charset=utf-8'

/** A case that sends one request and compares status and body. */
function answers(
  method: string,
  name: string,
  body: string | undefined,
  expected: readonly [number, string],
): (target: Target) => Promise<void> {
  return async (target) => {
    const answer = await target.request(method, target.at(name), body === undefined ? {} : { body })
    equal([answer.status, answer.body], expected, `${method} ${name}`)
    equal(answer.headers['content-type'], TEXT_TYPE, 'content type')
  }
}

export const restCases: readonly WireCase[] = [
  ...section('3.1', {
    'an unmatched path is 404 with the router text': async (target) => {
      const { status, body, headers } = await target.get('/a:b')
      equal([status, body], [404, '404 page not found\n'], 'answer')
      equal(headers['x-content-type-options'], 'nosniff', 'X-Content-Type-Options')
    },
    'POST / is 405': async (target) => {
      const { status, body } = await target.post('/', '1')
      equal([status, body], [405, 'Method Not Allowed\n'], 'answer')
    },
    'a trailing slash is significant': answers('GET', 'a/', undefined, [
      400,
      'ooo: key is not valid',
    ]),
  }),
  ...section(
    '3.1',
    Object.fromEntries(
      ['PUT', 'HEAD', 'OPTIONS'].map((method) => [
        `${method} on a key is 404`,
        async (target: Target) => {
          await target.store(target.at('a'), '1')
          equal((await target.request(method, target.at('a'))).status, 404, 'status')
        },
      ]),
    ),
    { tag: 'Q' },
  ),
  ...section('3.2', {
    'a present key is a meta object as JSON': async (target) => {
      await target.store(target.at('a'), '1')
      const { status, headers, body } = await target.get(target.at('a'))
      equal([status, headers['content-type']], [200, JSON_TYPE], 'status and content type')
      ensure(!body.endsWith('\n'), 'no newline at the end')
    },
    'an absent key is 404': answers('GET', 'absent', undefined, [404, 'ooo: empty key']),
    'an empty list is []': async (target) => {
      const { status, headers, body } = await target.get(target.at('*'))
      equal([status, headers['content-type'], body], [200, JSON_TYPE, '[]'], 'answer')
    },
    'lists are newest first by created': async (target) => {
      for (const name of ['b', 'a', 'c']) await target.store(target.at(name), '1')
      await target.store(target.at('b'), '2')
      const { body } = await target.get(target.at('*'))
      const order = (JSON.parse(body) as { index: string }[]).map(({ index }) => index)
      equal(order, ['c', 'a', 'b'], 'order')
    },
    'any glob form may be read': async (target) => {
      for (const name of ['ab', 'a/x/b', 'a/x/c/y']) await target.store(target.at(name), '1')
      for (const glob of ['a*', 'a/*/b', 'a/*/c/*']) {
        const { body } = await target.get(target.at(glob))
        equal((JSON.parse(body) as unknown[]).length, 1, `entries of ${glob}`)
      }
    },
    'a v query on a plain GET is ignored': async (target) => {
      await target.store(target.at('a'), '1')
      equal((await target.get(`${target.at('a')}?v=1`)).status, 200, 'status')
    },
  }),
  ...section('3.3', {
    'two globs are refused before the body is read': answers('POST', '*/*', 'not json', [
      400,
      'key: contains more than one glob pattern',
    ]),
    'a glob in the middle is refused': answers('POST', '*/b', 'not json', [
      400,
      'key: glob pattern must be at the end of the path',
    ]),
    'an empty body is EOF': answers('POST', 'a', '', [400, 'EOF']),
    'success answers the index as JSON': async (target) => {
      const { status, body, headers } = await target.post(target.at('a'), '1')
      equal([status, body, headers['content-type']], [200, '{"index":"a"}', JSON_TYPE], 'answer')
    },
    'any JSON value is data': async (target) => {
      for (const json of ['{"a":1}', '[1]', '"text"', '1.50', 'true', 'null', '{}', '[]']) {
        await target.store(target.at('a'), json)
        equal(await target.data(target.at('a')), json, 'data')
      }
    },
  }),
  ...section(
    '3.3',
    {
      'malformed JSON is refused': async (target) => {
        for (const body of ['{', '{"a":}', "{'a':1}", 'undefined']) {
          equal((await target.post(target.at('a'), body)).status, 400, `status for ${body}`)
        }
        equal((await target.get(target.at('a'))).status, 404, 'status of a read afterwards')
      },
      'bytes after the first value are ignored': async (target) => {
        equal((await target.post(target.at('a'), '1 2')).status, 200, 'status')
      },
      'a pattern is not stored as a key': async (target) => {
        equal((await target.post(target.at('a*'), '1')).status, 400, 'status')
      },
    },
    { tag: 'Q' },
  ),
  ...section('3.4', {
    'a glob is refused': answers('PATCH', '*', '{}', [
      400,
      'ooo: glob pattern not allowed for this operation',
    ]),
    'an empty body is EOF, also at an absent key': answers('PATCH', 'absent', '', [400, 'EOF']),
    'an absent key is 404': answers('PATCH', 'absent', '{}', [404, 'ooo: not found']),
    'a glob in the middle is 404': answers('PATCH', '*/b', '{}', [404, 'ooo: not found']),
  }),
  ...section('3.5', {
    'an absent key is 404': answers('DELETE', 'absent', undefined, [404, 'storage: not found']),
    'success is 204 without a body': async (target) => {
      await target.store(target.at('a'), '1')
      const { status, body } = await target.request('DELETE', target.at('a'))
      equal([status, body], [204, ''], 'answer')
      equal((await target.get(target.at('a'))).status, 404, 'status of a read afterwards')
    },
    'a glob that matches nothing is a success': async (target) => {
      equal((await target.request('DELETE', target.at('*'))).status, 204, 'status')
    },
    ...Object.fromEntries(
      ['a/*', 'a/*/b', 'a*', '*/*'].map((glob) => [
        `${glob} deletes exactly what it covers`,
        async (target: Target) => {
          const names = ['a', 'a/x', 'a/x/b', 'a/x/c', 'b/x']
          for (const name of names) await target.store(target.at(name), '1')
          const covered = await target.get(target.at(glob))
          const gone = (JSON.parse(covered.body) as { path: string }[]).map(({ path }) => path)
          equal((await target.request('DELETE', target.at(glob))).status, 204, 'status')
          for (const name of names) {
            const expected = gone.includes(`${target.prefix}/${name}`) ? 404 : 200
            equal((await target.get(target.at(name))).status, expected, `status of ${name}`)
          }
        },
      ]),
    ),
  }),
]
