/** The lease by which the leader is elected, as metrics. */

import type { LeaseReport } from '../election/election.ts'
import type { VotersReport } from '../election/voters/report.ts'
import { metric } from './metric.ts'

/** None where leaders are configured. */
export function leaseMetrics(
  lease: LeaseReport | undefined,
  voters: VotersReport | undefined,
): string[] {
  if (lease === undefined) return []
  const { state, token, gained, lost, failures, podLabel } = lease
  const one = (value: number): { labels: Record<string, never>; value: number }[] => [
    { labels: {}, value },
  ]
  return [
    metric(
      'lease_held',
      'gauge',
      'Whether this node leads by the lease.',
      one(state === 'leader' ? 1 : 0),
    ),
    metric('lease_token', 'gauge', 'Fencing number of the latest grant heard of.', one(token)),
    metric('lease_gained_total', 'counter', 'Grants of the lease to this node.', one(gained)),
    metric('lease_lost_total', 'counter', 'Grants that lapsed or were lost.', one(lost)),
    metric('lease_failures_total', 'counter', 'Questions without an answer.', one(failures)),
    ...voterMetrics(voters),
    ...(podLabel === undefined
      ? []
      : [
          metric(
            'lease_pod_labelled',
            'gauge',
            'Whether the pod of this node carries the label of the leader.',
            one(podLabel.isSet === true ? 1 : 0),
          ),
          metric(
            'lease_pod_label_failures_total',
            'counter',
            'Labels that could not be changed.',
            one(podLabel.failures),
          ),
        ]),
  ]
}

function voterMetrics(report: VotersReport | undefined): string[] {
  if (report === undefined) return []
  const { voters, held, decides, change, attendance, missing } = report
  const one = (value: number) => [{ labels: {}, value }]
  return [
    metric('voters', 'gauge', 'Nodes that vote for what the leader decides.', one(voters.length)),
    metric('voters_list', 'gauge', 'Number of the list of voters.', one(change)),
    metric(
      'voters_held',
      'gauge',
      'Of a leader: voters whose vote counts, since it holds all they held.',
      voters.map((voter) => ({ labels: { voter }, value: held.includes(voter) ? 1 : 0 })),
    ),
    metric(
      'voters_connected',
      'gauge',
      'Of a leader: voters that are connected.',
      (attendance ?? []).map(({ name, connected }) => ({
        labels: { voter: name },
        value: connected ? 1 : 0,
      })),
    ),
    metric(
      'voters_missing',
      'gauge',
      'Of a leader: how many more voters a majority needs.',
      missing === undefined ? [] : one(missing),
    ),
    metric(
      'decides',
      'gauge',
      'Whether this node holds the lease now and decides what does not merge.',
      one(decides ? 1 : 0),
    ),
  ]
}
