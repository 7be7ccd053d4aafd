/** Section 4.1: the WebSocket handshake, and 4.9, the clock. */
import { ensure, equal, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'
import type { Target } from './target.ts'

export const handshakeCases: readonly WireCase[] = [
  ...section('4.1', {
    'an accepted handshake is 101 with neither extension nor cookie': async (target) => {
      const { status, head } = await target.handshake(target.at('a'), {
        'Sec-WebSocket-Extensions': 'permessage-deflate',
      })
      equal(status, 101, 'status')
      matches(head, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i, 'accept header')
      ensure(!/sec-websocket-extensions|set-cookie/i.test(head), 'no extension, no cookie')
    },
    'an invalid key is 400 with the key error text': async (target) => {
      const { status, body } = await target.handshake('/a//b')
      equal([status, body], [400, 'ooo: key is not valid'], 'answer')
    },
    ...Object.fromEntries(
      (
        [
          ['another version', { 'Sec-WebSocket-Version': '8' }],
          ['no version', { 'Sec-WebSocket-Version': undefined }],
          ['no key', { 'Sec-WebSocket-Key': undefined }],
          ['a short key', { 'Sec-WebSocket-Key': 'AAAA' }],
        ] as const
      ).map(([what, headers]) => [
        `a handshake with ${what} is 400`,
        async (target: Target) => {
          const { status, body } = await target.handshake(target.at('a'), headers)
          equal([status, body], [400, 'Bad Request\n'], 'answer')
        },
      ]),
    ),
    'an offered bearer protocol is selected': async (target) => {
      const { head } = await target.handshake(target.at('a'), {
        'Sec-WebSocket-Protocol': 'bearer, some-token',
      })
      matches(head, /\r\nsec-websocket-protocol: bearer(?:\r|$)/i, 'protocol header')
    },
    'another protocol is not echoed': async (target) => {
      const { status, head } = await target.handshake(target.at('a'), {
        'Sec-WebSocket-Protocol': 'other',
      })
      equal(status, 101, 'status')
      ensure(!/sec-websocket-protocol/i.test(head), 'no protocol header')
    },
    "the server's own origin is accepted": async (target) => {
      const origin = `http://${target.base.host}`
      equal((await target.handshake(target.at('a'), { Origin: origin })).status, 101, 'status')
    },
  }),
  ...section(
    '4.1',
    {
      'an origin that is not listed is 403': async (target) => {
        const own = await target.own({ allowedOrigins: ['http://page.example', 'http://*.x'] })
        for (const origin of ['http://other.example', 'http://a.x']) {
          const { status, head, body } = await own.handshake('/a', { Origin: origin })
          equal(status, 403, origin)
          matches(body, /^(Forbidden\b)/, 'text')
          ensure(/sec-websocket-version: 13/i.test(head), 'names the version')
        }
      },
      'a listed origin, in any case, or none is accepted': async (target) => {
        const own = await target.own({ allowedOrigins: ['http://page.example'] })
        for (const origin of ['HTTP://PAGE.example', undefined]) {
          equal((await own.handshake('/a', { Origin: origin })).status, 101, `${origin}`)
        }
      },
    },
    { needs: 'own' },
  ),
  ...section('4.9', {
    'the clock sends decimal nanoseconds in binary frames, at once and again': async (target) => {
      const probe = await target.subscribe('/')
      await probe.frame(1)
      const stamps = probe.frames.map(({ text, isBinary }) => {
        ensure(isBinary, 'the frame is binary')
        matches(text, /^(\d{19})$/, 'time')
        return BigInt(text)
      })
      ensure((stamps[1] ?? 0n) > (stamps[0] ?? 0n), 'time goes forward')
    },
  }),
]
