/**
 * The part of the Kubernetes API that leases and labels of pods need, over real HTTP, as strict as the real
 * one: `resourceVersion` conflicts, what is required of a Lease, tokens, namespaces. It keeps no time. That it
 * answers as the real one does is what `test/cluster/election/kubernetes-api.test.ts` is for.
 */
import * as http from 'node:http'
import * as https from 'node:https'
import type { AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { type Fields, failure, fieldsOf, objectOf, problemOf } from './lease-rules.ts'

export interface LeaseApiOptions {
  /** PEM; with it HTTPS is spoken, and a client certificate of `ca` is as good as a token. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string }
}

const PATH = /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/([^/]+)\/leases(?:\/([^/]+))?$/
const POD_PATH = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)$/
const RESOURCE = 'leases.coordination.k8s.io'
const LABEL_VALUE = /^([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?$/

export class LeaseApi {
  /** Tokens that are valid now. */
  readonly tokens: Set<string> = new Set(['token-1'])
  readonly namespaces: Set<string> = new Set(['default'])
  /** Tokens of accounts that may do nothing. */
  readonly powerless: Set<string> = new Set()
  /** Tokens of accounts that may not touch pods. */
  readonly podless: Set<string> = new Set()
  /** Labels of the pods, by `namespace/name`. */
  readonly pods: Map<string, Readonly<Record<string, string>>> = new Map()
  readonly counts: Record<string, number> = {}
  readonly #objects = new Map<string, Fields>()
  readonly #server: http.Server
  #version = 100
  #held: (() => void)[] | undefined
  #isDown = false

  constructor({ tls }: LeaseApiOptions = {}) {
    const handle: http.RequestListener = (request, response) => void this.#handle(request, response)
    this.#server =
      tls === undefined
        ? http.createServer(handle)
        : https.createServer({ ...tls, requestCert: true, rejectUnauthorized: false }, handle)
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve)
    })
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo
    return `${this.#server instanceof https.Server ? 'https' : 'http'}://127.0.0.1:${port}`
  }

  /** The object as it is stored. */
  object(name: string, namespace = 'default'): Fields | undefined {
    return this.#objects.get(`${namespace}/${name}`)
  }

  /** As `kubectl delete lease`. */
  delete(name: string, namespace = 'default'): void {
    this.#objects.delete(`${namespace}/${name}`)
  }

  /** Takes requests and answers none of them, until `release`. */
  hold(): void {
    this.#held ??= []
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const go of held) go()
  }

  /** Ends every connection, and new ones at once, until told otherwise. */
  down(isDown: boolean): void {
    this.#isDown = isDown
    if (isDown) this.#server.closeAllConnections()
  }

  async stop(): Promise<void> {
    this.release()
    this.#server.closeAllConnections()
    await new Promise((resolve) => {
      this.#server.close(resolve)
    })
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    if (this.#isDown) {
      request.socket.destroy()
      return
    }
    let text = ''
    for await (const chunk of request) text += String(chunk)
    const held = this.#held
    if (held !== undefined) {
      await new Promise<void>((resolve) => {
        held.push(resolve)
      })
    }
    const [status, body] = this.#answer(request, text)
    const name = `${request.method} ${status}`
    this.counts[name] = (this.counts[name] ?? 0) + 1
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }

  #answer(request: http.IncomingMessage, text: string): [number, unknown] {
    const { authorization, 'content-type': type } = request.headers
    const token = authorization?.replace(/^Bearer /, '') ?? ''
    const isCertified = 'authorized' in request.socket && request.socket.authorized === true
    if (!this.tokens.has(token) && !this.powerless.has(token) && !isCertified) {
      return failure(401, 'Unauthorized')
    }
    const [, ofPod, pod] = POD_PATH.exec(request.url ?? '') ?? []
    if (ofPod !== undefined && pod !== undefined) {
      if (this.powerless.has(token) || this.podless.has(token)) {
        return failure(403, `pods "${pod}" is forbidden`)
      }
      if (request.method !== 'PATCH') return failure(405, 'method not allowed')
      return this.#patchPod(`${ofPod}/${pod}`, type, text)
    }
    if (this.powerless.has(token)) return failure(403, `${RESOURCE} is forbidden`)
    const [, namespace, name] = PATH.exec(request.url ?? '') ?? []
    if (namespace === undefined) return failure(404, 'the server could not find the resource')
    if (request.method === 'POST' && name === undefined) return this.#create(namespace, text)
    if (name === undefined || !['GET', 'PUT'].includes(request.method ?? '')) {
      return failure(405, 'the server does not allow this method on the requested resource')
    }
    const current = this.#objects.get(`${namespace}/${name}`)
    if (request.method === 'PUT') return this.#update(namespace, name, current, text)
    if (current === undefined) return failure(404, `${RESOURCE} "${name}" not found`)
    return [200, current]
  }

  #patchPod(id: string, type: string | undefined, text: string): [number, unknown] {
    if (type !== 'application/merge-patch+json') {
      return failure(415, 'the body of the request was in an unknown format')
    }
    const pod = this.pods.get(id)
    if (pod === undefined) return failure(404, `pods "${id.split('/')[1]}" not found`)
    const labels = { ...pod }
    const changes = fieldsOf(fieldsOf(fieldsOf(JSON.parse(text)).metadata).labels)
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) delete labels[name]
      else if (!LABEL_VALUE.test(String(value)))
        return failure(422, 'metadata.labels: Invalid value')
      else labels[name] = String(value)
    }
    this.pods.set(id, labels)
    const [namespace, name] = id.split('/')
    return [200, { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels } }]
  }

  #create(namespace: string, text: string, asked?: string): [number, unknown] {
    const object = objectOf(text)
    const metadata = fieldsOf(object?.metadata)
    const name = asked ?? String(metadata.name)
    const problem = problemOf(object, namespace, name)
    if (problem !== undefined) return problem
    if (!this.namespaces.has(namespace)) return failure(404, `namespaces "${namespace}" not found`)
    if (asked === undefined && metadata.resourceVersion !== undefined) {
      return failure(500, 'resourceVersion should not be set on objects to be created')
    }
    if (this.#objects.has(`${namespace}/${name}`)) {
      return failure(409, `${RESOURCE} "${name}" already exists`)
    }
    const own = { uid: `uid-${this.#version}`, creationTimestamp: '2026-01-01T00:00:00Z' }
    return [201, this.#store(namespace, name, { ...object, metadata: { ...metadata, ...own } })]
  }

  #update(
    namespace: string,
    name: string,
    current: Fields | undefined,
    text: string,
  ): [number, unknown] {
    const object = objectOf(text)
    const metadata = fieldsOf(object?.metadata)
    const problem = problemOf(object, namespace, name)
    if (problem !== undefined) return problem
    const { resourceVersion, uid } = metadata
    if (resourceVersion !== undefined && !/^\d+$/.test(String(resourceVersion))) {
      return failure(500, 'parsing the resourceVersion: invalid syntax')
    }
    const old = fieldsOf(current?.metadata)
    if (uid !== undefined && uid !== old.uid)
      return failure(409, `${RESOURCE} "${name}": other UID`)
    // A lease that is not there is created, whatever its version was.
    if (current === undefined) return this.#create(namespace, text, name)
    if (resourceVersion === undefined) {
      return failure(422, 'metadata.resourceVersion: must be specified for an update')
    }
    if (resourceVersion !== old.resourceVersion) {
      return failure(409, `${RESOURCE} "${name}": the object has been modified`)
    }
    const { uid: is, creationTimestamp } = old
    const next = { ...object, metadata: { ...metadata, uid: is, creationTimestamp } }
    // What changes nothing is not written, and keeps its version.
    if (isDeepStrictEqual(next, current)) return [200, current]
    return [200, this.#store(namespace, name, next)]
  }

  #store(namespace: string, name: string, object: Fields): Fields {
    const metadata = { ...fieldsOf(object.metadata), resourceVersion: String(++this.#version) }
    const stored = { ...object, metadata }
    this.#objects.set(`${namespace}/${name}`, stored)
    return stored
  }
}
