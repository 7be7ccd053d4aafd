/** What people and programs are told of who leads. */
import { expect, it } from 'vitest'
import { formatVoters } from '../../../cli/commands/voters.ts'
import { formatStatus } from '../../../cli/terminal/status-text.ts'
import type { LeaseReport } from '../../../cluster/election/election.ts'
import type { VotersReport } from '../../../cluster/election/voters/report.ts'
import { leaseMetrics } from '../../../cluster/metrics/lease-metrics.ts'
import { startNode } from '../nodes.ts'

const LEASE: LeaseReport = {
  kind: 'redis',
  name: 'ooo-cluster',
  state: 'leader',
  holder: { id: 'n1', url: 'http://10.0.0.1:8800' },
  token: 7,
  validForMs: 3100,
  durationMs: 5000,
  gained: 2,
  lost: 1,
  failures: 4,
  lastError: undefined,
}

it('ooo status shows the holder, its number, and for how long it may decide', () => {
  const text = formatStatus({ name: 'a', lease: LEASE })
  expect(text).toMatch(/lease +state +leader +token +until +last error/)
  expect(text).toMatch(
    /ooo-cluster \(redis\) +leader +http:\/\/10\.0\.0\.1:8800 +7 +3 s from now +-/,
  )
  const lost = { ...LEASE, state: 'demoting', holder: null, validForMs: 0, lastError: 'refused' }
  expect(formatStatus({ lease: lost })).toMatch(/demoting +- +7 +- +refused/)
  expect(formatStatus({ name: 'a' })).not.toContain('lease')
})

const VOTERS: VotersReport = {
  voters: ['a', 'b', 'c'],
  change: 4,
  self: 'a',
  decides: false,
  reason: 'missing: c (not connected)',
  held: ['a', 'b'],
  attendance: [
    { name: 'a', connected: true, sinceMs: 1_767_225_600_000, counts: true },
    { name: 'b', connected: false, sinceMs: 1_767_225_605_000, counts: true, lack: 'x' },
    { name: 'c', connected: true, sinceMs: 1_767_225_606_000, counts: false, lack: 'still sends' },
  ],
  missing: 1,
  concerns: ['one is away'],
}

it('ooo status shows who votes, whose state the leader holds, and why it decides nothing', () => {
  const text = formatStatus({ name: 'a', lease: LEASE, voters: VOTERS })
  expect(text).toMatch(/voters +list +connected +have voted +decides +reason/)
  expect(text).toMatch(/a, b, c +4 +a, c +a, b +no +missing: c \(not connected\)/)
  expect(formatStatus({ lease: LEASE })).not.toContain('voters')
})

it('ooo status says of leaders only whether they decide, and since when a leader is not confirmed', () => {
  const { attendance: _, reason: __, ...stored } = VOTERS
  const following = { ...LEASE, state: 'follower' }
  const shown = formatStatus({ lease: following, voters: { ...stored, held: [] } })
  expect(shown).toMatch(/\na, b, c +4 +- +- +- +-\n/)
  const since = { ...following, unconfirmedSinceMs: 1_000_000 }
  expect(formatStatus({ lease: since }, 1_012_000)).toMatch(
    /\(redis\) +follower, unconfirmed for 12 s +http/,
  )
})

it('ooo voters shows the list, a change that is under way, and why nothing is decided', () => {
  const text = formatVoters({ ...VOTERS, before: ['a', 'b'] })
  expect(text).toMatch(/voter +connected +since +has voted +lacks +change\n/)
  expect(text).toMatch(/\na +yes +2026-01-01T00:00:00Z +yes +- +-\n/)
  expect(text).toMatch(/\nb +no +2026-01-01T00:00:05Z +yes +- +-\n/)
  expect(text).toMatch(/\nc +yes +2026-01-01T00:00:06Z +no +still sends +being added\n/)
  expect(text).toContain('list 4\nconditional writes are refused: missing: c (not connected)\n')
  expect(text).toContain('attention: one is away\n')
  expect(formatVoters({ ...VOTERS, note: '"b" is a voter already' })).toMatch(
    /^"b" is a voter already: nothing was changed\n/,
  )
  expect(formatVoters({ voters: ['a'] })).toMatch(/\na +- +- +- +- +-\n/)
  expect(formatVoters({ voters: [] })).toContain('no voters are known\n')
})

it('ooo status shows the label of the pod, where there is one', () => {
  const podLabel = { pod: 'ooo-1', label: 'a/b=c', isSet: false, others: [], failures: 2 }
  const shown = (change: object): string =>
    formatStatus({ lease: { ...LEASE, podLabel: { ...podLabel, ...change } } })
  expect(shown({})).toMatch(/pod +label +set +failures +last error/)
  expect(shown({})).toMatch(/ooo-1 +a\/b=c +no +2 +-/)
  expect(shown({ isSet: true })).toMatch(/a\/b=c +yes +2/)
  expect(shown({ isSet: undefined, lastError: 'gone' })).toMatch(/a\/b=c +not known +2 +gone/)
  expect(formatStatus({ lease: LEASE })).not.toContain('pod')
})

it('the metrics of a node that elects its leader tell of the lease, others are silent', () => {
  const text = leaseMetrics(LEASE, VOTERS).join('')
  expect(text).toContain('ooo_cluster_lease_held 1\n')
  expect(text).toContain('ooo_cluster_lease_token 7\n')
  expect(text).toContain('ooo_cluster_lease_failures_total 4\n')
  expect(text).toContain('ooo_cluster_voters 3\n')
  expect(text).toContain('ooo_cluster_voters_list 4\n')
  expect(text).toContain('ooo_cluster_voters_held{voter="c"} 0\n')
  expect(text).toContain('ooo_cluster_voters_connected{voter="b"} 0\n')
  expect(text).toContain('ooo_cluster_voters_missing 1\n')
  expect(text).toContain('ooo_cluster_decides 0\n')
  expect(leaseMetrics({ ...LEASE, state: 'follower' }, undefined).join('')).toContain(
    'lease_held 0\n',
  )
  expect(leaseMetrics(undefined, undefined)).toEqual([])
  expect(text).not.toContain('pod')
  const podLabel = { pod: 'ooo-1', label: 'a/b=c', others: [], failures: 2, lastError: 'gone' }
  const labelled = leaseMetrics(
    { ...LEASE, podLabel: { ...podLabel, isSet: true } },
    undefined,
  ).join('')
  expect(labelled).toContain('ooo_cluster_lease_pod_labelled 1\n')
  expect(labelled).toContain('ooo_cluster_lease_pod_label_failures_total 2\n')
  const unknown = leaseMetrics(
    { ...LEASE, podLabel: { ...podLabel, isSet: undefined } },
    undefined,
  ).join('')
  expect(unknown).toContain('ooo_cluster_lease_pod_labelled 0\n')
})

it('nodes with a configured leader tell who that is', async () => {
  const leader = await startNode()
  const follower = await startNode({ leader })
  const own = await leader.request('GET', '/-/leader')
  expect([own.status, own.body]).toEqual([200, `{"leader":"${leader.url}"}`])
  const other = await follower.request('HEAD', '/-/leader')
  expect([other.status, other.body]).toEqual([503, ''])
  expect((await follower.request('GET', '/-/leader')).body).toBe(`{"leader":"${leader.url}"}`)
  expect((await follower.request('POST', '/-/leader', '1')).status).toBe(405)
  expect(JSON.parse((await leader.request('GET', '/-/cluster')).body).lease).toBeUndefined()
})
