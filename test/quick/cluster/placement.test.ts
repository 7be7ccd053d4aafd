import { describe, expect, test } from 'vitest'
import { leaderUrl, planPlacement, scopeOf, streamUrl } from '../../../cluster/members/placement.ts'

describe('which node leads a key', () => {
  test('without a cluster URL this node leads everything, the nodes scope included', () => {
    const placement = planPlacement([{ path: 'items/*' }], undefined, 'nodes/*')
    expect(placement.upstreams.size).toBe(0)
    expect(scopeOf(placement, 'nodes/a')).toEqual({ path: 'nodes/*', leader: undefined })
    expect(scopeOf(placement, 'other')).toBeUndefined()
  })

  test('a node may lead some scopes and follow several leaders for others', () => {
    const keys = [
      { path: 'items/special', local: true },
      { path: 'items/*' },
      { path: 'prices/*', clusterUrl: 'other:8800' },
    ]
    const placement = planPlacement(keys, 'http://main:8800', 'nodes/*')
    expect(scopeOf(placement, 'items/special')?.leader).toBeUndefined()
    expect(scopeOf(placement, 'items/a')?.leader).toBe('http://main:8800')
    expect([...placement.upstreams]).toEqual([
      ['http://main:8800', ['items/*', 'nodes/*']],
      ['http://other:8800', ['prices/*']],
    ])
  })

  test('the first scope that matches decides', () => {
    const keys = [
      { path: 'a/*', clusterUrl: 'x:1' },
      { path: '*/*', clusterUrl: 'y:1' },
    ]
    const placement = planPlacement(keys, undefined, 'nodes/*')
    expect(scopeOf(placement, 'a/1')?.leader).toBe('http://x:1')
    expect(scopeOf(placement, 'b/1')?.leader).toBe('http://y:1')
  })

  test.each([
    ['a bad path', [{ path: '/a' }], undefined, 'key is not valid'],
    [
      'local with a URL',
      [{ path: 'a', local: true, clusterUrl: 'x:1' }],
      'x:1',
      '"a" is both local',
    ],
    ['a bad URL', [{ path: 'a' }], 'ftp://x', '"ftp://x"'],
    ['an empty URL', [{ path: 'a' }], '', '""'],
  ])('%s is refused by name', (_name, keys, clusterUrl, part) => {
    expect(() => planPlacement(keys, clusterUrl, 'nodes/*')).toThrow(part)
  })
})

test.each([
  ['localhost:8800', 'http://localhost:8800', 'ws://localhost:8800/_pivot/stream'],
  ['https://a.example/x', 'https://a.example', 'wss://a.example/_pivot/stream'],
  ['ws://[::1]:8800', 'http://[::1]:8800', 'ws://[::1]:8800/_pivot/stream'],
])('the leader %s is %s and streams at %s', (text, url, stream) => {
  expect(leaderUrl(text)).toBe(url)
  expect(streamUrl(url)).toBe(stream)
})
