import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../src/core/errors.ts'
import { readFrame, TargetState } from '../../../src/server/reverse-proxy/frame.ts'

const bytes = (text: string): Buffer => Buffer.from(text)

/** The text a late joiner would be sent after these frames. */
function late(...frames: string[]): string {
  const state = new TargetState(10_000)
  for (const frame of frames) state.take(readFrame(bytes(frame)))
  return Buffer.concat(state.snapshot?.batch().frames ?? []).toString()
}

describe('the state of a target', () => {
  it('is read from envelopes with fields in any order, spaced in any way', () => {
    const spaced = '{ "data": {"x": [1.0, 2]}, "version": "5f", "snapshot": true }'
    expect(late(spaced)).toBe(spaced)
    expect(
      late(spaced, '{"version":"60","data":[{"op":"remove","path":"/x/1"}],"snapshot":false}'),
    ).toBe('{"snapshot":true,"version":"60","data":{"x":[1.0]}}')
  })

  it('is replaced by a later snapshot', () => {
    const second = '{"snapshot":true,"version":"2","data":[]}'
    expect(late('{"snapshot":true,"version":"1","data":{}}', second)).toBe(second)
  })

  it('has version 0 when the target gives none', () => {
    expect(
      late(
        '{"snapshot":true,"data":[]}',
        '{"snapshot":false,"data":[{"op":"add","path":"/-","value":1}]}',
      ),
    ).toBe('{"snapshot":true,"version":"0","data":[1]}')
  })

  it('is the last time, for the clock', () => {
    expect(late('1781600000000000000', '1781600000000000001')).toBe('1781600000000000001')
  })

  it.each([
    ['nothing', ''],
    ['text', 'hello'],
    ['a number that is no time', '-1'],
    ['an array', '[]'],
    ['no data', '{"snapshot":true,"version":"1"}'],
    ['no snapshot flag', '{"version":"1","data":1}'],
    ['a snapshot flag that is text', '{"snapshot":"true","version":"1","data":1}'],
    ['half an envelope', '{"snapshot":true,"version":"1","da'],
    ['too deep', `{"snapshot":true,"version":"1","data":${'['.repeat(2000)}${']'.repeat(2000)}}`],
  ])('is not read from %s', (_what, text) => {
    try {
      late(text)
    } catch (error) {
      expect(isStateError(error, 'invalid_message')).toBe(true)
      return
    }
    expect.unreachable('it was read')
  })

  it('does not grow past its limit', () => {
    const big = `[{"op":"add","path":"/-","value":"${'x'.repeat(4000)}"}]`
    const frame = `{"snapshot":false,"version":"1","data":${big}}`
    const first = '{"snapshot":true,"version":"1","data":[]}'
    expect(late(first, frame, frame).length).toBeGreaterThan(8000)
    expect(() => late(first, frame, frame, frame)).toThrow('limit is 10000')
  })
})
