import { describe, expect, test } from 'vitest'
import { clusterLines, followerLine } from '../../../ui/src/cluster-lines.ts'

const report = {
  role: 'follower',
  links: [{ url: 'http://a:1', state: 'live', lagRows: 3, lagMs: 340, outbox: 2 }],
  followers: [
    { id: 'n1', lagRows: 0, lagMs: 0 },
    { id: 'n2', lagRows: 12, lagMs: 4_000 },
  ],
  registered: [{ id: 'n2' }, { id: 'n3' }, { id: 'n5', awaySinceMs: 1_700_000_000_000 }],
  refusals: { total: 4 },
}

describe('the cluster in the web UI', () => {
  test('is told as role, links and refusals', () => {
    expect(clusterLines(report)).toEqual([
      'this node: follower',
      'follows http://a:1: live, 3 behind, 340 ms, 2 to deliver',
      '4 refused: see ooo status',
    ])
    const offline = { role: 'follower', links: [{ url: 'u', state: 'offline', lagMs: 9_000 }] }
    expect(clusterLines(offline)[1]).toBe('follows u: offline, last heard 9 s ago')
  })

  test('tells of each registered node whether it is in step, behind or away', () => {
    const told = ['n1', 'n2', 'n3', 'n4', 'n5'].map((id) => followerLine(report, id))
    const since = 'away since 2023-11-14 22:13:20 UTC'
    expect(told).toEqual(['in step', '12 behind, 4 s', 'away', undefined, since])
  })

  test('is nothing for a node without a cluster, and bears with strange answers', () => {
    for (const strange of [undefined, null, 7, 'x', [], {}, { links: 3 }]) {
      expect(clusterLines(strange)).toEqual([])
      expect(followerLine(strange, 'n1')).toBeUndefined()
    }
    expect(clusterLines({ role: 'leader', links: [null, 1] })[1]).toBe(
      'follows ?: unknown, in step',
    )
  })
})
