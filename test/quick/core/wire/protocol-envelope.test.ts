import { describe, expect, it } from 'vitest'
import { isStateError } from '../../../../src/core/errors.ts'
import { decodeEnvelope } from '../../../../src/core/wire/envelope.ts'

describe('decoding an envelope', () => {
  it('reads a snapshot, its members in any order, integers exact', () => {
    const text = '{"data":{"created":1781600000000000001},"version":"18b9a","snapshot":true}'
    expect(decodeEnvelope(text)).toEqual({
      snapshot: true,
      version: '18b9a',
      data: { created: 1781600000000000001n },
    })
  })

  it('reads a patch, an empty one included', () => {
    const operation = { op: 'remove', path: '/0' }
    expect(
      decodeEnvelope(`{"snapshot":false,"version":"1","data":[${JSON.stringify(operation)}]}`),
    ).toEqual({ snapshot: false, version: '1', operations: [operation] })
    expect(decodeEnvelope('{"snapshot":false,"version":"1","data":[]}')).toEqual({
      snapshot: false,
      version: '1',
      operations: [],
    })
  })

  it('takes null as a state: a filtered object may be one', () => {
    expect(decodeEnvelope('{"snapshot":true,"version":"0","data":null}').snapshot).toBe(true)
  })

  it.each([
    ['', 'invalid JSON'],
    ['{"snapshot":true', 'invalid JSON'],
    ['[]', 'not a JSON object'],
    ['7', 'not a JSON object'],
    ['{"version":"1","data":[]}', '"snapshot"'],
    ['{"snapshot":"yes","version":"1","data":[]}', '"snapshot"'],
    ['{"snapshot":true,"data":[]}', '"version"'],
    ['{"snapshot":true,"version":7,"data":[]}', '"version"'],
    ['{"snapshot":true,"version":"","data":[]}', '"version"'],
    ['{"snapshot":true,"version":"1"}', '"data" is missing'],
    ['{"snapshot":false,"version":"1","data":{}}', 'must be an array'],
  ])('refuses %s', (text, reason) => {
    try {
      decodeEnvelope(text)
    } catch (error) {
      expect(isStateError(error, 'invalid_message')).toBe(true)
      expect(String(error)).toContain(reason)
      return
    }
    expect.unreachable('the frame was accepted')
  })
})
