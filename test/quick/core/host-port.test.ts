import { expect, test } from 'vitest'
import { isHost, isPort, parseHostPort } from '../../../src/core/host-port.ts'

test.each([
  'localhost',
  'node.example',
  'a-1.b_2.svc.cluster.local',
  'ooo_node',
  '3com.example',
  '10.0.0.7',
  '255.255.255.255',
  '::1',
  'fd00::2',
  '::ffff:10.0.0.7',
])('is a host: %s', (text) => {
  expect(isHost(text)).toBe(true)
})

test.each([
  '',
  ' ',
  'a b',
  'a/b',
  '169.254.169.254/latest/meta-data/?x=',
  'a?x=1',
  'a#b',
  'user@a',
  'a:80',
  '[::1]',
  '-a',
  'a-',
  'a..b',
  '.a',
  'a.',
  '256.1.1.1',
  '10.0.7',
  '127.1',
  '2130706433',
  '0x7f.1',
  '0x7f000001',
  'fe80::1%eth0',
  ':::',
  '12345::',
  'é.example',
  `${'a'.repeat(64)}.example`,
  `${'a.'.repeat(126)}aa`,
  'a\u0000',
  'a\r\nb',
])('is no host: %j', (text) => {
  expect(isHost(text)).toBe(false)
})

test('ports are those that can be dialled', () => {
  expect([1, 80, 65_535].map(isPort)).toEqual([true, true, true])
  expect([0, -1, 65_536, 1.5, '80', null, Number.NaN].map(isPort)).toEqual(Array(7).fill(false))
})

test('a host and a port, an IPv6 address in brackets and nothing else in brackets', () => {
  expect(parseHostPort('a.example:80')).toEqual({ host: 'a.example', port: 80 })
  expect(parseHostPort('[fd00::2]:1')).toEqual({ host: 'fd00::2', port: 1 })
  for (const text of [
    'fd00::2:1',
    '[a.example]:80',
    '[10.0.0.1]:80',
    'a',
    'a:',
    ':80',
    'a:b',
    'a:80/',
  ]) {
    expect(parseHostPort(text), text).toBeUndefined()
  }
})
