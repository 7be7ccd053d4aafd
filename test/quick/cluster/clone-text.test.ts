import { describe, expect, it } from 'vitest'
import {
  explainClone,
  isCloneRefusal,
  placeOf,
  refusalText,
} from '../../../cluster/members/clone-text.ts'

describe('where a node is said to be', () => {
  it.each([
    ['http://10.0.0.7:8800', '10.0.0.7', '10.0.0.7:8800'],
    ['http://10.0.0.7:8800', '::ffff:10.0.0.7', '10.0.0.7:8800'],
    ['https://[fd00::7]:8800', 'fd00::7', '[fd00::7]:8800'],
    ['http://shop:8800', '10.0.0.7', 'shop:8800 from 10.0.0.7'],
    ['http://shop:8800', '', 'shop:8800'],
    [undefined, '10.0.0.7', '10.0.0.7'],
    ['http://a\u0000b\u00e9:1', '10.0.0.7', 'a?b?:1 from 10.0.0.7'],
  ])('%s seen at %s', (url, address, expected) => {
    expect(placeOf(url, address)).toBe(expected)
  })

  it('leaves room for two in the reason of a close frame', () => {
    const place = placeOf(`http://${'x'.repeat(300)}:1`, 'fd00::1')
    const reason = refusalText(place, place)
    // The stream cuts reasons there; RFC 6455 allows 123 bytes.
    expect(reason.length).toBeLessThanOrEqual(100)
    expect(isCloneRefusal(reason)).toBe(true)
    expect(explainClone(reason)).toContain('ooo node new-identity')
  })
})
