/** The status of a node as metrics: the text format that Prometheus and others collect. */

import type { TrafficReport } from '../leader/traffic.ts'
import type { ClusterReport } from '../node/status.ts'
import { busMetrics } from './bus-metrics.ts'
import { leaseMetrics } from './lease-metrics.ts'
import { metric, type Sample } from './metric.ts'

/** Served at `GET /-/cluster/metrics`. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** One block per metric; a sample without a value is left out, and so is a metric without samples. */
export function clusterMetrics(report: ClusterReport): string {
  return [
    ...nodeMetrics(report),
    ...linkMetrics(report),
    ...followerMetrics(report),
    ...busMetrics(report),
    ...leaseMetrics(report.lease, report.voters),
  ].join('')
}

function nodeMetrics({ head, role, clockOffsetMs, refusals }: ClusterReport): string[] {
  const counts = Object.entries(refusals.counts)
  return [
    metric('info', 'gauge', 'Role of this node.', [{ labels: { role }, value: 1 }]),
    metric('head', 'gauge', 'Seq of the last change of this node.', [{ labels: {}, value: head }]),
    metric('clock_offset_seconds', 'gauge', 'Added to the wall clock to have the leader’s.', [
      { labels: {}, value: clockOffsetMs / 1000 },
    ]),
    metric(
      'refusals_total',
      'counter',
      'Streams and messages refused.',
      counts.map(([code, value]) => ({ labels: { code }, value })),
    ),
  ]
}

function linkMetrics({ links }: ClusterReport): string[] {
  const each = (value: (link: ClusterReport['links'][number]) => number | undefined): Sample[] =>
    links.map((link) => ({ labels: { leader: link.url }, value: value(link) }))
  return [
    metric(
      'link_live',
      'gauge',
      'Whether this node is live with its leader.',
      each(({ state }) => (state === 'live' ? 1 : 0)),
    ),
    metric(
      'link_lag_rows',
      'gauge',
      'Changes of the leader not applied here.',
      each(({ lagRows }) => lagRows),
    ),
    metric(
      'link_lag_seconds',
      'gauge',
      'Age of the oldest of them; offline, since the leader was heard.',
      each(({ lagMs }) => seconds(lagMs)),
    ),
    metric(
      'link_outbox_rows',
      'gauge',
      'Changes the leader has not acknowledged.',
      each(({ outbox }) => outbox),
    ),
    metric(
      'link_outbox_age_seconds',
      'gauge',
      'Age of the oldest of them.',
      each(({ outboxAgeMs }) => seconds(outboxAgeMs)),
    ),
    metric(
      'link_repairs_total',
      'counter',
      'Differences found and put right.',
      each(({ repairs }) => repairs),
    ),
    ...trafficMetrics(
      'link',
      links.map(({ url, traffic }) => [{ leader: url }, traffic]),
    ),
  ]
}

function followerMetrics({ followers }: ClusterReport): string[] {
  const labelled = followers.map(
    (follower) => [{ follower: follower.id, name: follower.name }, follower] as const,
  )
  return [
    metric(
      'follower_lag_rows',
      'gauge',
      'Changes the follower has not acknowledged.',
      labelled.map(([labels, { lagRows }]) => ({ labels, value: lagRows })),
    ),
    metric(
      'follower_lag_seconds',
      'gauge',
      'Age of the oldest of them.',
      labelled.map(([labels, { lagMs }]) => ({ labels, value: lagMs / 1000 })),
    ),
    ...trafficMetrics(
      'follower',
      labelled.map(([labels, { traffic }]) => [labels, traffic]),
    ),
  ]
}

function trafficMetrics(
  peer: string,
  all: readonly (readonly [Sample['labels'], TrafficReport])[],
): string[] {
  const directions = (inward: keyof TrafficReport, outward: keyof TrafficReport): Sample[] =>
    all.flatMap(([labels, traffic]) => [
      { labels: { ...labels, direction: 'in' }, value: traffic[inward] },
      { labels: { ...labels, direction: 'out' }, value: traffic[outward] },
    ])
  return [
    metric(
      `${peer}_bytes_total`,
      'counter',
      'Bytes of messages of the stream.',
      directions('bytesIn', 'bytesOut'),
    ),
    metric(
      `${peer}_messages_total`,
      'counter',
      'Messages of the stream.',
      directions('messagesIn', 'messagesOut'),
    ),
  ]
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000
}
