/** Section 1: which texts are keys, what a glob covers, and what a generated key looks like. */
import { ensure, equal, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'
import type { Target } from './target.ts'

const INVALID_KEYS: readonly string[] = [
  'a/',
  '-x',
  'x-',
  '.x',
  'x.',
  '_x',
  'x_',
  'test//1',
  'a**',
  '/a',
]
const UNROUTED_KEYS: readonly string[] = ['a:b', 'a%20b', 'a@b', 'a%25b', 'a+b']
const VALID_KEYS: readonly string[] = [
  'a-b/c.d/e_f',
  'logs/2026-05-08',
  '6f0c2c1e-6d5b-4b0f-9d1a-0b5c7f6a1e2d',
  'users/jane_doe',
  'A/b/C',
]

/** Keys to store, what to ask for, and what must come back; all below the prefix. */
const MATCHES: readonly (readonly [glob: string, keys: readonly string[]])[] = [
  ['*', ['one', 'thing']],
  ['thing/123/*', ['thing/123/234']],
  ['thing/glob/*/*', ['thing/glob/test/234']],
  ['thing/*/*', ['thing/123/234']],
  ['thi*', ['thing']],
  ['*/123/*', ['thing/123/234']],
  ['nothing/*', []],
]
const STORED: readonly string[] = [
  'one',
  'thing',
  'thing/123/234',
  'thing/123/123/123',
  'thing/glob/test/234',
]

export const keyCases: readonly WireCase[] = [
  ...section(
    '1.1',
    Object.fromEntries([
      ...VALID_KEYS.map((key) => [`${key} is a key`, (target: Target) => isKey(target, key)]),
      ...INVALID_KEYS.map((key) => [
        `${key} is refused with 400 by every method`,
        (target: Target) => isRefused(target, key),
      ]),
      ...UNROUTED_KEYS.map((key) => [
        `${key} reaches no data handler: 404`,
        async (target: Target) => {
          equal((await target.get(`/${key}`)).status, 404, `status of GET /${key}`)
        },
      ]),
    ]),
  ),
  ...section('1.1', {
    'keys are case-sensitive': async (target) => {
      await target.store(target.at('Case'), '1')
      equal((await target.get(target.at('case'))).status, 404, 'status of the other case')
    },
    'an escaped slash is a slash': async (target) => {
      await target.store(`/${target.prefix}%2Fa%2Fb`, '1')
      equal(await target.data(target.at('a/b')), '1', 'data under the decoded key')
    },
  }),
  ...section(
    '1.1',
    {
      'dot segments are ordinary characters': async (target) => {
        await target.store(target.at('a/../b'), '1')
        ensure(
          (await target.get(target.at('a/../b'))).body.includes('/a/../b"'),
          'the path keeps its dot segments',
        )
      },
    },
    { tag: 'Q' },
  ),
  ...section(
    '1.3',
    Object.fromEntries(
      MATCHES.map(([glob, keys]) => [
        `${glob} covers ${keys.join(', ') || 'nothing'} and nothing else`,
        async (target: Target) => {
          for (const key of STORED) await target.store(target.at(key), '1')
          const { body } = await target.get(target.at(glob))
          const paths = (JSON.parse(body) as { path: string }[]).map(({ path }) => path).sort()
          equal(
            paths,
            keys.map((key) => `${target.prefix}/${key}`),
            `keys of ${glob}`,
          )
        },
      ]),
    ),
  ),
  ...section('1.4', {
    'a push makes an index of lower-case hex a little below created': async (target) => {
      const index = await target.store(target.at('*'), '1')
      matches(index, /^[1-9a-f][0-9a-f]{15}$/, 'index')
      const { body } = await target.get(target.at(index))
      const [created = ''] = matches(body, /^\{"created":(\d+),/, 'meta object')
      const lead = BigInt(created) - BigInt(`0x${index}`)
      ensure(lead > 0n && lead < 10_000_000_000n, `created is ${lead} ns after the index`)
    },
    'generated keys are unique and ascending': async (target) => {
      const made: bigint[] = []
      for (let i = 0; i < 5; i++) {
        made.push(BigInt(`0x${await target.store(target.at('*'), '1')}`))
      }
      for (const [i, index] of made.entries()) ensure(index > (made[i - 1] ?? 0n), 'ascending')
    },
    'the index of a plain key is its last segment': async (target) => {
      equal(await target.store(target.at('a/b.c'), '1'), 'b.c', 'index')
    },
  }),
]

async function isKey(target: Target, key: string): Promise<void> {
  await target.store(target.at(key), '"here"')
  equal(await target.data(target.at(key)), '"here"', `data at ${key}`)
}

async function isRefused(target: Target, key: string): Promise<void> {
  for (const method of ['GET', 'POST', 'PATCH', 'DELETE']) {
    const body = method === 'POST' || method === 'PATCH' ? { body: '1' } : {}
    const answer = await target.request(method, `/${key}`, body)
    equal([answer.status, answer.body], [400, 'ooo: key is not valid'], `${method} /${key}`)
  }
}
