import type { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import * as ws from 'ws'
import { FrameReader } from '../../../src/server/websocket/frame-reader.ts'
import { encodeFrames } from '../../../src/server/websocket/frame-writer.ts'
import { fc } from '../../support/property.ts'

const LIMIT = 300

interface ClientFrame {
  readonly fin: boolean
  readonly rsv: number
  readonly opcode: number
  readonly masked: boolean
  readonly payload: Uint8Array
}

/** The frame as a client would send it; the mask is that of the payload's length, so not always zeros. */
function encodeClientFrame({ fin, rsv, opcode, masked, payload }: ClientFrame): Buffer {
  const frame = encodeFrames(opcode, [payload])
  const headerLength = frame.length - payload.byteLength
  const header = Buffer.from(frame.subarray(0, headerLength))
  header[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  if (!masked) return Buffer.concat([header, payload])
  header[1] = (header[1] ?? 0) | 0x80
  const mask = [payload.byteLength, 7, 0xa5, 0].map((byte) => byte & 0xff)
  const body = payload.map((byte, i) => byte ^ (mask[i % 4] ?? 0))
  return Buffer.concat([header, Buffer.from(mask), body])
}

const frames: fc.Arbitrary<ClientFrame> = fc.record({
  fin: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.boolean()),
  rsv: fc.oneof({ weight: 30, arbitrary: fc.constant(0) }, fc.nat(7)),
  opcode: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(0, 1, 2, 9, 10) },
    fc.constantFrom(8, 3, 11),
  ),
  masked: fc.oneof({ weight: 30, arbitrary: fc.constant(true) }, fc.boolean()),
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 8 }),
    fc.string({ unit: 'binary', maxLength: 100 }).map((text) => new TextEncoder().encode(text)),
    fc.uint8Array({ minLength: 126, maxLength: LIMIT }),
    fc
      .constantFrom(1000, 1004, 1006, 2999, 3000, 4999)
      .map((code) => Uint8Array.of(code >> 8, code & 0xff)),
  ),
})

/** What the reader makes of these bytes, cut into chunks. */
function readAll(bytes: Buffer, chunkLength: number): string[] {
  const events: string[] = []
  const reader = new FrameReader(LIMIT, {
    pinged: (payload) => events.push(`ping ${payload.toString('hex')}`),
    closing: (code) => events.push(`close ${code ?? 1005}`),
    violated: (code) => events.push(`violation ${code}`),
  })
  for (let at = 0; at < bytes.length; at += chunkLength) {
    reader.push(bytes.subarray(at, at + chunkLength))
  }
  return events
}

// The package exports it; its types do not know.
const Receiver: new (options: object) => Writable = Reflect.get(ws, 'Receiver')

const STATUS: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
}

/** What the receiver of the `ws` package makes of them. */
async function readByWs(bytes: Buffer): Promise<string[]> {
  const events: string[] = []
  const receiver = new Receiver({ isServer: true, maxPayload: LIMIT, allowSynchronousEvents: true })
  receiver.on('message', () => undefined)
  receiver.on('ping', (payload: Buffer) => events.push(`ping ${payload.toString('hex')}`))
  receiver.on('conclude', (code: number) => events.push(`close ${code}`))
  receiver.on('error', (error: Error & { code?: string }) => {
    events.push(`violation ${STATUS[error.code ?? ''] ?? 1002}`)
  })
  // A copy: the package removes the masks in place.
  await new Promise<void>((resolve) => receiver.write(Buffer.from(bytes), () => resolve()))
  await new Promise((resolve) => setImmediate(resolve))
  return events
}

/**
 * The same, but that the reader may see a fault before the package looks at it: it checks text as it comes,
 * not when a message is whole.
 */
function expectAgreement(ours: readonly string[], theirs: readonly string[]): void {
  const last = ours.at(-1) ?? ''
  if (!last.startsWith('violation')) expect(ours).toEqual(theirs)
  else {
    const before = ours.slice(0, -1)
    expect(theirs.slice(0, before.length)).toEqual(before)
    if (theirs[before.length] === last) return
    expect(['violation 1002', 'violation 1007']).toContain(last)
    expect(theirs.slice(before.length).filter((event) => event.startsWith('close'))).toEqual([])
  }
}

describe('the reader of what subscribers say', () => {
  it('makes of any frames what the ws package makes of them, however they are cut', async () => {
    const property = fc.asyncProperty(
      fc.array(frames, { maxLength: 8 }),
      fc.integer({ min: 1, max: 40 }),
      async (list, chunkLength) => {
        const bytes = Buffer.concat(list.map(encodeClientFrame))
        const expected = await readByWs(bytes)
        expectAgreement(readAll(bytes, chunkLength), expected)
        expectAgreement(readAll(bytes, bytes.length + 1), expected)
      },
    )
    await fc.assert(property, { numRuns: 2000 })
  })

  it('says nothing about random bytes that ws does not say', async () => {
    const property = fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (random) => {
      const bytes = Buffer.from(random)
      expectAgreement(readAll(bytes, 7), await readByWs(bytes))
    })
    await fc.assert(property, { numRuns: 1000 })
  })

  it.each([
    [
      'text cut inside a character',
      [
        [1, false, 'c3'],
        [0, true, 'a9'],
      ],
      [],
    ],
    ['text with half a character', [[1, true, 'c3']], ['violation 1007']],
    [
      'text with half a character in its parts',
      [
        [1, false, 'c3'],
        [0, true, '41'],
      ],
      ['violation 1007'],
    ],
    ['binary data that is no text', [[2, true, 'ff']], []],
    [
      'a ping inside a message',
      [
        [1, false, '41'],
        [9, true, '01'],
        [0, true, '42'],
      ],
      ['ping 01'],
    ],
    ['a close without a code', [[8, true, '']], ['close 1005']],
    ['a close with a reason that is no text', [[8, true, '03e8ff']], ['violation 1007']],
    [
      'a message after a close',
      [
        [8, true, '03e8'],
        [3, true, ''],
      ],
      ['close 1000'],
    ],
  ] as const)('takes %s for what it is', (_name, parts, expected) => {
    const bytes = parts.map(([opcode, fin, hex]) =>
      encodeClientFrame({ fin, rsv: 0, opcode, masked: true, payload: Buffer.from(hex, 'hex') }),
    )
    for (const chunkLength of [1, 3, 1000]) {
      expect(readAll(Buffer.concat(bytes), chunkLength)).toEqual(expected)
    }
  })

  it('counts all frames of a message against its limit', () => {
    const part = (opcode: number, fin: boolean): Buffer =>
      encodeClientFrame({ fin, rsv: 0, opcode, masked: true, payload: new Uint8Array(LIMIT / 2) })
    expect(readAll(Buffer.concat([part(2, false), part(0, true)]), 11)).toEqual([])
    expect(readAll(Buffer.concat([part(2, false), part(0, false), part(0, true)]), 11)).toEqual([
      'violation 1009',
    ])
  })
})
