/** Section 3.6: body cap, compression, CORS. */
import { gunzipSync, inflateRawSync, inflateSync } from 'node:zlib'
import { ensure, equal, listOf } from './assert.ts'
import { section, type WireCase } from './case.ts'
import type { Target } from './target.ts'

const DEFAULT_CAP_BYTES = 10 * 1024 * 1024
const ORIGIN = 'http://page.example'

export const headerCases: readonly WireCase[] = [
  ...section('3.6', {
    'a body above the default cap is 413': async (target) => {
      const body = `"${'x'.repeat(DEFAULT_CAP_BYTES)}"`
      for (const method of ['POST', 'PATCH']) {
        await target.store(target.at('a'), '{}')
        // On a connection that is to end, a server may end it while the body is still being sent.
        const headers = { connection: 'keep-alive' }
        const answer = await target.request(method, target.at('a'), { body, headers })
        equal([answer.status, answer.body], [413, 'Request Entity Too Large'], method)
      }
    },
    'a body below the default cap is taken': async (target) => {
      await target.store(target.at('a'), `"${'x'.repeat(1_000_000)}"`)
    },
    'gzip and deflate: the first listed is used': async (target) => {
      await target.store(target.at('a'), JSON.stringify('text '.repeat(2000)))
      const plain = await target.get(target.at('a'))
      for (const [accept, expected] of [
        ['gzip, deflate', 'gzip'],
        ['deflate, gzip', 'deflate'],
        ['br, gzip', 'gzip'],
      ] as const) {
        const { headers, bytes } = await target.get(target.at('a'), { 'accept-encoding': accept })
        equal(headers['content-encoding'], expected, `encoding for ${accept}`)
        equal(decode(expected, bytes), plain.body, 'decoded body')
        ensure(listOf(headers.vary).includes('accept-encoding'), 'Vary names Accept-Encoding')
      }
    },
    'without Accept-Encoding nothing is compressed': async (target) => {
      await target.store(target.at('a'), JSON.stringify('text '.repeat(2000)))
      const { headers } = await target.get(target.at('a'))
      equal(headers['content-encoding'], undefined, 'Content-Encoding')
      ensure(listOf(headers.vary).includes('accept-encoding'), 'Vary names Accept-Encoding')
    },
    'an actual request allows any origin, and varies by it': async (target) => {
      for (const path of ['absent', '*']) {
        const { headers } = await target.get(target.at(path), { origin: ORIGIN })
        equal(headers['access-control-allow-origin'], '*', 'Access-Control-Allow-Origin')
        ensure(listOf(headers.vary).includes('origin'), 'Vary names Origin')
        equal(headers['access-control-allow-credentials'], undefined, 'credentials')
      }
    },
    'there are no caching headers on data': async (target) => {
      await target.store(target.at('a'), '1')
      const { headers } = await target.get(target.at('a'))
      equal([headers['cache-control'], headers.expires], [undefined, undefined], 'headers')
    },
    ...Object.fromEntries(
      ['GET', 'POST', 'DELETE', 'PUT', 'PATCH'].map((method) => [
        `a preflight for ${method} is allowed`,
        async (target: Target) => {
          const { status, body, headers } = await preflight(target, {
            'access-control-request-method': method,
            'access-control-request-headers': 'authorization,content-type',
          })
          equal([status, body], [204, ''], 'answer')
          equal(headers['access-control-allow-origin'], '*', 'origin')
          equal(headers['access-control-allow-methods'], method, 'methods')
          equal(
            listOf(headers['access-control-allow-headers']),
            ['authorization', 'content-type'],
            'headers',
          )
          equal(
            listOf(headers.vary).filter((name) => name !== 'accept-encoding'),
            ['origin', 'access-control-request-method', 'access-control-request-headers'],
            'Vary',
          )
          equal(headers['access-control-max-age'], undefined, 'max-age')
        },
      ]),
    ),
    ...Object.fromEntries(
      [
        { 'access-control-request-method': 'TRACE' },
        {
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'x-not-allowed',
        },
      ].map((asked) => [
        `a preflight for ${Object.values(asked).join(' with ')} is 204 without allow headers`,
        async (target: Target) => {
          const { status, headers } = await preflight(target, asked)
          equal(status, 204, 'status')
          equal(headers['access-control-allow-origin'], undefined, 'origin')
          equal(headers['access-control-allow-methods'], undefined, 'methods')
        },
      ]),
    ),
  }),
  ...section(
    '3.6',
    {
      'a negative cap disables it': async (target) => {
        const own = await target.own({ maxBodyBytes: -1 })
        await own.store('/a', `"${'x'.repeat(DEFAULT_CAP_BYTES + 10)}"`)
      },
      'a listed origin is echoed, with one wildcard, whatever its case': async (target) => {
        const own = await target.own({ allowedOrigins: ['http://*.example', 'https://b.test'] })
        for (const origin of ['http://page.EXAMPLE', 'https://b.test']) {
          const { headers } = await own.get('/a', { origin })
          equal(headers['access-control-allow-origin'], origin, `answer to ${origin}`)
        }
        const { headers } = await own.get('/a', { origin: 'http://other.test' })
        equal(headers['access-control-allow-origin'], undefined, 'answer to another')
      },
    },
    { needs: 'own' },
  ),
]

function preflight(
  target: Target,
  asked: Readonly<Record<string, string>>,
): ReturnType<Target['request']> {
  return target.request('OPTIONS', target.at('a'), { headers: { origin: ORIGIN, ...asked } })
}

/** "deflate" is zlib by the letter and raw in many servers; clients take both. */
function decode(encoding: 'gzip' | 'deflate', bytes: Buffer): string {
  if (encoding === 'gzip') return gunzipSync(bytes).toString()
  try {
    return inflateSync(bytes).toString()
  } catch {
    return inflateRawSync(bytes).toString()
  }
}
