/** `GET /-/metrics`: connections, refusals and fan-out of a node, in the text format that Prometheus and others collect. */
import type { HubMetrics } from '../../fanout/hub.ts'
import type { AdmissionMetrics } from '../admission/admission.ts'
import type { SocketMetrics } from '../connections/sockets.ts'
import type { MemoryMetrics } from '../contract/memory-limits.ts'
import type { Reply } from '../exchange/reply.ts'

export const METRICS_PATH = '/-/metrics'

/** What a node counts. */
export interface NodeMetrics {
  readonly admission: AdmissionMetrics
  readonly sockets: SocketMetrics
  readonly fanout: HubMetrics
  readonly memory: MemoryMetrics
}

export interface MetricsContext {
  readonly metrics: () => NodeMetrics
}

type Kind = 'gauge' | 'counter'
/** One value, or one for each value of a label. */
type Samples =
  | number
  | { readonly label: string; readonly values: Readonly<Record<string, number>> }

export function answerMetrics({ metrics }: MetricsContext): Reply {
  return {
    status: 200,
    headers: {
      'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
      'Cache-Control': 'no-store',
    },
    body: nodeMetrics(metrics()),
  }
}

/** The text of the answer. */
export function nodeMetrics({ admission, sockets, fanout, memory }: NodeMetrics): string {
  const { plain, subscribers: subscriber, peers: peer, surplus } = admission
  const { droppedSilent: silent, droppedStalled: stalled } = sockets
  return [
    metric('connections', 'gauge', 'Open TCP connections by what they are for.', {
      label: 'kind',
      values: { plain, subscriber, peer, surplus },
    }),
    metric('subscribers_admitted_total', 'counter', 'Handshakes let in.', admission.admitted),
    metric('refused_total', 'counter', 'Requests and handshakes refused for a limit.', {
      label: 'reason',
      values: { ...admission.refused },
    }),
    metric(
      'connections_dropped_total',
      'counter',
      'Connections closed without an answer for a limit.',
      admission.dropped,
    ),
    metric('sockets_open', 'gauge', 'Open WebSockets.', sockets.open),
    metric('sockets_pending', 'gauge', 'WebSocket handshakes under way.', sockets.pending),
    metric('sockets_dropped_total', 'counter', 'WebSockets dropped by the heartbeat.', {
      label: 'reason',
      values: { silent, stalled },
    }),
    metric('workers_ready', 'gauge', 'Worker processes that take subscribers.', sockets.workers),
    metric('workers_lost_total', 'counter', 'Worker processes that ended.', sockets.workersLost),
    fanoutMetrics(fanout),
    memoryMetrics(memory),
  ].join('')
}

function fanoutMetrics(fanout: HubMetrics): string {
  return [
    metric('pools', 'gauge', 'Keys and lists with subscribers.', fanout.pools),
    metric(
      'fanout_unread_state_bytes',
      'gauge',
      'Full states sent and perhaps not read.',
      fanout.unreadStateBytes,
    ),
    metric(
      'fanout_pool_bytes',
      'gauge',
      'Full states and patches kept for subscribers to come.',
      fanout.poolBytes,
    ),
    metric('fanout_frames_total', 'counter', 'Frames handed to connections.', fanout.framesSent),
    metric('fanout_writes_total', 'counter', 'Writes they left in.', fanout.batchesSent),
    metric('fanout_snapshots_total', 'counter', 'Full states among them.', fanout.snapshotsSent),
    metric(
      'fanout_frames_dropped_total',
      'counter',
      'Frames not sent since the subscriber was too far behind.',
      fanout.framesDropped,
    ),
    metric(
      'fanout_catch_ups_total',
      'counter',
      'Times a subscriber that was behind was brought up to date.',
      fanout.catchUps,
    ),
    metric(
      'slow_consumers_closed_total',
      'counter',
      'Subscribers closed since they took nothing for too long.',
      fanout.slowConsumersClosed,
    ),
  ].join('')
}

function memoryMetrics(memory: MemoryMetrics): string {
  return [
    metric('bodies_bytes', 'gauge', 'Bodies of requests under way.', memory.bodiesBytes),
    metric(
      'bodies_refused_total',
      'counter',
      'Requests refused since others held too much.',
      memory.bodiesRefused,
    ),
    metric('answer_bytes', 'gauge', 'Answers that clients have not taken.', memory.answerBytes),
    metric(
      'answers_cut_total',
      'counter',
      'Connections cut since their clients took nothing.',
      memory.answersCut,
    ),
    metric('lists_sent', 'gauge', 'Long lists that are being sent.', memory.listsSent),
    metric('write_waiters', 'gauge', 'Writes that are waited for.', memory.waiters),
  ].join('')
}

function metric(name: string, kind: Kind, help: string, samples: Samples): string {
  const lines =
    typeof samples === 'number'
      ? [`ooo_${name} ${samples}`]
      : Object.entries(samples.values).map(
          ([value, count]) => `ooo_${name}{${samples.label}="${value}"} ${count}`,
        )
  return `# HELP ooo_${name} ${help}\n# TYPE ooo_${name} ${kind}\n${lines.join('\n')}\n`
}
