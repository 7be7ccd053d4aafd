/** The bus of a node as metrics: whether it is there, what it carried, and who lives on it. */
import type { BusSide } from '../../src/fanout/bus.ts'
import type { ClusterReport } from '../node/status.ts'
import { metric, type Sample } from './metric.ts'

/** None for a node without a bus. */
export function busMetrics({ bus, links, followers }: ClusterReport): string[] {
  if (bus === undefined) return []
  const { publishing, subscribing } = bus
  const each = (value: (feed: ClusterReport['links'][number]['feed']) => number): Sample[] =>
    links.map(({ url, feed }) => ({ labels: { leader: url }, value: value(feed) }))
  return [
    metric('bus_up', 'gauge', 'Whether the bus is there; nothing while it is not used.', [
      { labels: { direction: 'publish' }, value: isUp(publishing) },
      { labels: { direction: 'subscribe' }, value: isUp(subscribing) },
    ]),
    metric(
      'bus_messages_total',
      'counter',
      'Messages of the bus; dropped ones could not be sent.',
      (['published', 'dropped', 'received'] as const).map((name) => ({
        labels: { kind: name },
        value: bus[name],
      })),
    ),
    metric('bus_published_rows_total', 'counter', 'Changes published.', [
      { labels: {}, value: bus.rows },
    ]),
    metric('bus_notices_total', 'counter', 'Changes too large for the bus, announced only.', [
      { labels: {}, value: bus.notices },
    ]),
    metric('bus_waiting_bytes', 'gauge', 'Bytes that the bus has not taken yet.', [
      { labels: {}, value: bus.waitingBytes },
    ]),
    metric(
      'link_bus',
      'gauge',
      'Whether changes of the leader come over the bus.',
      each(({ from }) => (from === 'stream' ? 0 : 1)),
    ),
    metric(
      'link_bus_gaps_total',
      'counter',
      'Times that something was missing on the bus.',
      each(({ gaps }) => gaps),
    ),
    metric(
      'link_bus_fetched_rows_total',
      'counter',
      'Changes fetched from the leader because of that.',
      each(({ fetched }) => fetched),
    ),
    metric(
      'link_bus_fallbacks_total',
      'counter',
      'Times that the bus was left for the stream.',
      each(({ fallbacks }) => fallbacks),
    ),
    metric(
      'link_bus_refused_total',
      'counter',
      'Messages on the bus that were not the leader’s.',
      each(({ bus: listener }) => listener.refused),
    ),
    metric(
      'follower_bus',
      'gauge',
      'Whether the follower takes changes from the bus.',
      followers.map(({ id, name, feed }) => ({
        labels: { follower: id, name },
        value: feed === 'bus' ? 1 : 0,
      })),
    ),
  ]
}

function isUp({ state }: BusSide): number | undefined {
  return state === 'idle' ? undefined : Number(state === 'up')
}
