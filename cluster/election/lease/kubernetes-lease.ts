/**
 * A lease in Kubernetes: an object of `coordination.k8s.io/v1`, changed only where it is still the one
 * that was read (`resourceVersion`). As other candidates of Kubernetes do it: nobody compares the
 * times in the record with a clock. Who looks remembers when, on the own monotonic clock, the record last
 * changed; when it has not changed for the length of the lease, its holder has lost it.
 *
 * `holderIdentity` is the id of the node, empty when the lease was given up; `leaseTransitions` is the
 * fencing number; url and session of the holder are annotations, and so is what leaders leave to the next.
 */
import { NS_PER_MS, type TimeSource } from '../../../src/core/ports/time.ts'
import type { KubeAnswer, KubeApi } from './kube-api.ts'
import { type Candidate, type Lease, type LeaseMark, type LeaseView, NO_MARK } from './lease.ts'

export interface KubernetesLeaseOptions {
  readonly api: Pick<KubeApi, 'request' | 'close'>
  readonly namespace: string
  readonly name: string
  readonly durationMs: number
  readonly self: Candidate
  readonly time: TimeSource
  /** More annotations of what is written, given those so far. Default: none. */
  readonly notes?: ((before: Fields) => Readonly<Record<string, string>>) | undefined
}

const API_VERSION = 'coordination.k8s.io/v1'
const URL_NOTE = 'ooo-cluster/url'
const SESSION_NOTE = 'ooo-cluster/session'
const CEILING_NOTE = 'ooo-cluster/ceiling'
const VOTERS_NOTE = 'ooo-cluster/voters'

interface Fields {
  readonly [name: string]: unknown
}

/** What is read of the object. */
interface LeaseRecord {
  readonly id: string
  readonly url: string
  readonly session: string
  readonly token: number
  readonly durationMs: number
  readonly mark: LeaseMark
  /** Changes with every change of the record. */
  readonly version: string
  readonly raw: Fields
}

export function kubernetesLease(options: KubernetesLeaseOptions): Lease {
  const lease = new KubernetesLease(options)
  return {
    kind: 'kubernetes',
    name: options.name,
    durationMs: options.durationMs,
    look: async () => lease.view(await lease.read()),
    take: (above) => lease.take(above, false),
    claim: (above) => lease.take(above, true),
    renew: (token, mark) => lease.renew(token, mark),
    release: (token) => lease.release(token),
    close: async () => options.api.close(),
  }
}

class KubernetesLease {
  readonly #options: KubernetesLeaseOptions
  readonly #path: string
  /** The version seen last, and since when. */
  #observed: { readonly version: string; readonly sinceNs: bigint } | undefined
  /** As this candidate wrote it last. */
  #written: LeaseRecord | undefined

  constructor(options: KubernetesLeaseOptions) {
    this.#options = options
    this.#path = `/apis/${API_VERSION}/namespaces/${options.namespace}/leases`
  }

  /** undefined when there is no such object. */
  async read(): Promise<LeaseRecord | undefined> {
    const { api, name } = this.#options
    const answer = await api.request({ method: 'GET', path: `${this.#path}/${name}` })
    if (answer.status === 404) return undefined
    if (answer.status !== 200) throw this.#refused(answer)
    return recordOf(answer.body)
  }

  view(record: LeaseRecord | undefined): LeaseView {
    if (record === undefined) {
      return { holder: undefined, token: 0, isMine: false, heldForMs: 0, mark: NO_MARK }
    }
    const { id, url, token, mark } = record
    const heldForMs = this.#heldForMs(record)
    if (id === '') return { holder: undefined, token, isMine: false, heldForMs: 0, mark }
    return { holder: { id, url }, token, isMine: this.#isMine(record), heldForMs, mark }
  }

  async take(above: number, isClaim: boolean): Promise<LeaseView> {
    const record = await this.read()
    const view = this.view(record)
    if (view.isMine && view.token >= above) return this.#put(record, view.token)
    const isOpen =
      view.holder === undefined || view.holder.id === this.#options.self.id || view.heldForMs === 0
    const isForgotten = view.token < above
    if (isForgotten ? !isClaim : !isOpen) return view
    return this.#put(record, Math.max(above, view.token) + 1)
  }

  async renew(token: number, mark: LeaseMark): Promise<LeaseView> {
    const known = this.#written
    if (known?.token === token && this.#isMine(known)) {
      const renewed = await this.#write(known, token, mark)
      if (renewed !== undefined) return renewed
    }
    const record = await this.read()
    const view = this.view(record)
    const isHeld = view.isMine && view.token === token
    const isLost = view.token < token || (view.holder === undefined && view.token === token)
    return isHeld || isLost ? this.#put(record, token, mark) : view
  }

  async release(token: number): Promise<void> {
    const record = await this.read()
    if (record === undefined || record.token !== token || !this.#isMine(record)) return
    this.#written = undefined
    const spec = { ...this.#spec(token), holderIdentity: '', leaseDurationSeconds: 1 }
    const answer = await this.#send('PUT', { ...record.raw, spec })
    if (answer.status !== 200 && answer.status !== 409) throw this.#refused(answer)
  }

  /** Writes over `record`; what it is now when somebody else was faster. */
  async #put(record: LeaseRecord | undefined, token: number, mark?: LeaseMark): Promise<LeaseView> {
    return (await this.#write(record, token, mark)) ?? this.view(await this.read())
  }

  /** undefined when the object is not the one of `record` any more. */
  async #write(
    record: LeaseRecord | undefined,
    token: number,
    mark?: LeaseMark,
  ): Promise<LeaseView | undefined> {
    const { name, namespace, self } = this.#options
    const old = fieldsOf(record?.raw.metadata)
    const annotations = {
      ...fieldsOf(old.annotations),
      [URL_NOTE]: self.url,
      [SESSION_NOTE]: self.session,
      ...(mark === undefined ? {} : markNotes(record?.mark ?? NO_MARK, mark)),
      ...this.#options.notes?.(fieldsOf(old.annotations)),
    }
    const object = {
      ...record?.raw,
      apiVersion: API_VERSION,
      kind: 'Lease',
      metadata: { ...old, name, namespace, annotations },
      spec: this.#spec(token, record),
    }
    const answer = await this.#send(record === undefined ? 'POST' : 'PUT', object)
    if (answer.status === 409 || (answer.status === 404 && record !== undefined)) {
      this.#written = undefined
      return undefined
    }
    if (answer.status !== 200 && answer.status !== 201) throw this.#refused(answer)
    this.#written = recordOf(answer.body)
    return this.view(this.#written)
  }

  #spec(token: number, record?: LeaseRecord): Fields {
    const { self, durationMs } = this.#options
    const now = this.#now()
    const before = record?.token === token ? fieldsOf(record.raw.spec).acquireTime : undefined
    return {
      holderIdentity: self.id,
      leaseDurationSeconds: Math.max(1, Math.ceil(durationMs / 1000)),
      acquireTime: typeof before === 'string' ? before : now,
      renewTime: now,
      leaseTransitions: token,
    }
  }

  #send(method: 'POST' | 'PUT', body: unknown): Promise<KubeAnswer> {
    const path = method === 'POST' ? this.#path : `${this.#path}/${this.#options.name}`
    return this.#options.api.request({ method, path, body })
  }

  #isMine({ id, session }: LeaseRecord): boolean {
    const { self } = this.#options
    return id === self.id && session === self.session
  }

  /** Counted from when this candidate first saw the record as it is. */
  #heldForMs({ version, durationMs }: LeaseRecord): number {
    const nowNs = this.#options.time.monotonicNs()
    if (this.#observed?.version !== version) this.#observed = { version, sinceNs: nowNs }
    const forMs = Number(nowNs - this.#observed.sinceNs) / 1e6
    return Math.max(0, Math.max(this.#options.durationMs, durationMs) - forMs)
  }

  /** Microseconds are demanded. */
  #now(): string {
    const ms = Number(this.#options.time.wallNs() / NS_PER_MS)
    return new Date(ms).toISOString().replace('Z', '000Z')
  }

  #refused({ status, body }: KubeAnswer): Error {
    const { message } = fieldsOf(body)
    const rights = `get, create and update of leases.coordination.k8s.io in "${this.#options.namespace}"`
    const advice = status === 403 ? `; the service account needs ${rights}` : ''
    return new Error(
      `the Kubernetes API answers ${status}: ${String(message ?? '').slice(0, 300)}${advice}`,
    )
  }
}

/** @throws Error when it is not a Lease. */
function recordOf(body: unknown): LeaseRecord {
  const raw = fieldsOf(body)
  const metadata = fieldsOf(raw.metadata)
  const spec = fieldsOf(raw.spec)
  const notes = fieldsOf(metadata.annotations)
  const { resourceVersion } = metadata
  if (raw.kind !== 'Lease' || typeof resourceVersion !== 'string') {
    throw new Error('the answer of the Kubernetes API is no Lease')
  }
  const seconds = Number(spec.leaseDurationSeconds ?? 0)
  const token = Number(spec.leaseTransitions ?? 0)
  return {
    id: textOf(spec.holderIdentity),
    url: textOf(notes[URL_NOTE]),
    session: textOf(notes[SESSION_NOTE]),
    token: Number.isSafeInteger(token) && token >= 0 ? token : 0,
    durationMs: Number.isFinite(seconds) ? seconds * 1000 : 0,
    mark: { ceiling: stampOf(notes[CEILING_NOTE]), voters: textOf(notes[VOTERS_NOTE]) },
    version: resourceVersion,
    raw,
  }
}

function markNotes(before: LeaseMark, { ceiling, voters }: LeaseMark): Record<string, string> {
  return {
    [CEILING_NOTE]: String(ceiling > before.ceiling ? ceiling : before.ceiling),
    ...(voters === '' ? {} : { [VOTERS_NOTE]: voters }),
  }
}

function stampOf(value: unknown): bigint {
  return typeof value === 'string' && /^\d{1,19}$/.test(value) ? BigInt(value) : 0n
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
