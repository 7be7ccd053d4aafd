/**
 * The label of the leader's pod, by which a Service of Kubernetes selects it. Every node sees to its own
 * pod: the label is there while the node leads, and is taken off when it does not, from its start on, since
 * a container that was killed comes back in a pod that has kept its labels.
 *
 * A leader that is lost can not do that. So the Lease notes which pods may carry the label: a leader writes
 * its own name there with its grant, before it labels itself, and takes the label from the others that it
 * finds there; a name leaves the note once its pod is known to be without. Nobody else's pods are touched.
 *
 * It is done beside the election and never waited for. What fails is told and tried again, ever more
 * rarely; what was done is repeated once per duration of the lease, since others may change labels too.
 */

import { errorText } from '../../../src/core/errors.ts'
import { backoffDelayMs, resolveBackoff } from '../../../src/core/ports/backoff.ts'
import type { Logger } from '../../../src/core/ports/logger.ts'
import type { CancelTimer, Random, TimeSource } from '../../../src/core/ports/time.ts'
import type { KubeApi } from './kube-api.ts'
import type { Lease, PodLabelReport } from './lease.ts'

/** Which pod gets which label. */
export interface PodLabelChoice {
  /** The pod of this node, in the namespace of its service account. */
  readonly pod: string
  /** Name of the label, such as `ooo-cluster/role`. */
  readonly name: string
  /** Its value at the leader, such as `leader`; elsewhere there is no such label. */
  readonly value: string
}

export interface PodLabelOptions extends PodLabelChoice {
  /** Used by this alone, so that it never delays a renewal; closed with this. */
  readonly api: Pick<KubeApi, 'request' | 'close'>
  readonly namespace: string
  /** Between two repetitions of what was done, milliseconds. */
  readonly againMs: number
  /** Longest wait for the last request when this closes, milliseconds. */
  readonly closeMs: number
  readonly time: TimeSource
  readonly random: Random
  readonly logger: Logger
}

type Notes = Readonly<Record<string, unknown>>

/** Annotation of the Lease: names of pods that may carry the label, separated by spaces. */
const NOTE = 'ooo-cluster/labelled'
/** Names kept there; more pods than that can not have led and been lost before one could look after them. */
const MAX_NAMES = 100
const BACKOFF = resolveBackoff({ initialMs: 500, maxMs: 10_000 })

export class PodLabel {
  readonly #options: PodLabelOptions
  #leads = false
  #isSet: boolean | undefined
  #others: readonly string[] = []
  /** Pods that are known to be without it, for as long as this node leads. */
  readonly #cleaned = new Set<string>()
  #isAtWork = false
  /** Something changed since the work began. */
  #isStale = false
  #work: Promise<void> = Promise.resolve()
  #cancel: CancelTimer | undefined
  #attempt = 0
  #failures = 0
  /** Why the last request about a pod failed, by pod; none where it did not. */
  readonly #errors = new Map<string, string>()
  #closing: Promise<void> | undefined

  constructor(options: PodLabelOptions) {
    this.#options = options
  }

  /** Whether the node leads from now on. Returns at once and never throws. */
  stands(leads: boolean): void {
    if (this.#closing !== undefined) return
    if (!leads) {
      const { pod } = this.#options
      for (const other of this.#others) if (other !== pod) this.#errors.delete(other)
      this.#cleaned.clear()
      this.#others = []
    }
    this.#leads = leads
    this.#attempt = 0
    this.#settle()
  }

  /** The annotations of a grant or renewal, given those of the Lease so far. */
  notes(before: Notes): Readonly<Record<string, string>> {
    const { pod } = this.#options
    const noted = typeof before[NOTE] === 'string' ? before[NOTE].split(' ') : []
    const others = noted.filter((name) => name !== '' && name !== pod && !this.#cleaned.has(name))
    this.#others = [...new Set(others)].slice(-MAX_NAMES)
    return { [NOTE]: [...this.#others, pod].join(' ') }
  }

  report(): PodLabelReport {
    const { pod, name, value } = this.#options
    return {
      pod,
      label: `${name}=${value}`,
      isSet: this.#isSet,
      others: this.#others.filter((other) => !this.#cleaned.has(other)),
      failures: this.#failures,
      lastError: this.#errors.values().next().value,
    }
  }

  /** Takes the label off, if that can be done in time. Never rejects. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { api, time, closeMs } = this.#options
    this.#cancel?.()
    this.#leads = false
    const last = this.#work.then(async () => {
      if (this.#isSet !== false) await this.#round()
    })
    await new Promise<void>((resolve) => {
      const cancel = time.after(closeMs, resolve)
      last.finally(() => {
        cancel()
        resolve()
      })
    })
    api.close()
  }

  #settle(): void {
    this.#cancel?.()
    this.#isStale = this.#isAtWork
    if (this.#isAtWork) return
    this.#isAtWork = true
    this.#work = this.#round().then((delayMs) => {
      this.#isAtWork = false
      if (this.#closing !== undefined) return
      if (this.#isStale) this.#settle()
      else this.#cancel = this.#options.time.after(delayMs, () => this.#settle())
    })
  }

  /** Does what is to be done now; resolves to the milliseconds until the next time. Never rejects. */
  async #round(): Promise<number> {
    const { pod, againMs, random } = this.#options
    const leads = this.#leads
    const isDone = await this.#mark(pod, leads)
    if (isDone && this.#isSet !== leads) this.#note(pod, leads)
    this.#isSet = isDone ? leads : undefined
    if (leads) await this.#cleanOthers()
    if (this.#errors.size === 0) {
      this.#attempt = 0
      return againMs
    }
    return backoffDelayMs(this.#attempt++, BACKOFF, random)
  }

  async #cleanOthers(): Promise<void> {
    for (const other of this.report().others) {
      const isDone = await this.#mark(other, false)
      // What is to be done has changed: that comes first.
      if (!this.#leads || this.#isStale) return
      if (!isDone) continue
      this.#cleaned.add(other)
      this.#note(other, false)
    }
  }

  /** Sets or removes the label of a pod. @returns whether that was done. */
  async #mark(pod: string, isSet: boolean): Promise<boolean> {
    const { api, namespace, name, value, pod: own } = this.#options
    try {
      const { status, body } = await api.request({
        method: 'PATCH',
        path: `/api/v1/namespaces/${namespace}/pods/${pod}`,
        body: { metadata: { labels: { [name]: isSet ? value : null } } },
      })
      // A pod that is gone has no labels; the own one can not be gone.
      if (status === 200 || (status === 404 && pod !== own)) {
        this.#errors.delete(pod)
        return true
      }
      const advice =
        status === 403 ? `; the service account needs patch of the pod in "${namespace}"` : ''
      throw new Error(`the Kubernetes API answers ${status}: ${messageOf(body)}${advice}`)
    } catch (error) {
      this.#failed(pod, errorText(error))
      return false
    }
  }

  #failed(pod: string, error: string): void {
    this.#failures++
    if (error !== this.#errors.get(pod)) {
      const { logger, name } = this.#options
      logger.warn('the label of a pod could not be changed', { pod, label: name, error })
    }
    this.#errors.set(pod, error)
  }

  #note(pod: string, isSet: boolean): void {
    const { logger, name, value } = this.#options
    const label = `${name}=${value}`
    if (isSet) logger.info('the pod is labelled: it leads', { pod, label })
    else logger.debug('the pod is without the label', { pod, label })
  }
}

/** The lease, whose candidate labels its pod. */
export function withPodLabel(lease: Lease, label: PodLabel): Lease {
  return {
    ...lease,
    stands: (leads) => label.stands(leads),
    podLabel: () => label.report(),
    close: async () => {
      await label.close()
      await lease.close()
    },
  }
}

function messageOf(body: unknown): string {
  const isStatus = typeof body === 'object' && body !== null && 'message' in body
  return isStatus ? String(body.message).slice(0, 300) : ''
}
