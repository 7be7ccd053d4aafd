/**
 * The part of the Kubernetes API that leases need, over real HTTP, as strict as the real one:
 * `resourceVersion` conflicts, what is required of a Lease, tokens, namespaces. It keeps no time.
 */
import * as http from 'node:http'
import * as https from 'node:https'
import type { AddressInfo } from 'node:net'

interface Fields {
  readonly [name: string]: unknown
}

export interface LeaseApiOptions {
  /** PEM; with it HTTPS is spoken, and a client certificate of `ca` is as good as a token. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string }
}

const PATH = /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/([^/]+)\/leases(?:\/([^/]+))?$/
const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/

export class LeaseApi {
  /** Tokens that are valid now. */
  readonly tokens: Set<string> = new Set(['token-1'])
  readonly namespaces: Set<string> = new Set(['default'])
  /** Tokens of accounts that may do nothing. */
  readonly powerless: Set<string> = new Set()
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
    const { authorization } = request.headers
    const token = authorization?.replace(/^Bearer /, '') ?? ''
    const isCertified = 'authorized' in request.socket && request.socket.authorized === true
    if (this.powerless.has(token)) return failure(403, 'leases.coordination.k8s.io is forbidden')
    if (!this.tokens.has(token) && !isCertified) return failure(401, 'Unauthorized')
    const [, namespace, name] = PATH.exec(request.url ?? '') ?? []
    if (namespace === undefined) return failure(404, 'the server could not find the resource')
    if (request.method === 'POST' && name === undefined) return this.#create(namespace, text)
    if (name === undefined) return failure(405, 'method not allowed')
    const current = this.#objects.get(`${namespace}/${name}`)
    if (current === undefined) return failure(404, `leases "${name}" not found`)
    if (request.method === 'GET') return [200, current]
    if (request.method === 'PUT') return this.#update(namespace, name, current, text)
    return failure(405, 'method not allowed')
  }

  #create(namespace: string, text: string): [number, unknown] {
    const object = fieldsOf(JSON.parse(text))
    const metadata = fieldsOf(object.metadata)
    const name = String(metadata.name)
    const problem = problemOf(object, namespace, name)
    if (problem !== undefined) return failure(422, problem)
    if (!this.namespaces.has(namespace)) return failure(404, `namespaces "${namespace}" not found`)
    if (metadata.resourceVersion !== undefined) {
      return failure(400, 'resourceVersion should not be set on objects to be created')
    }
    if (this.#objects.has(`${namespace}/${name}`)) {
      return failure(409, `leases "${name}" already exists`)
    }
    const own = { uid: `uid-${this.#version}`, creationTimestamp: '2026-01-01T00:00:00Z' }
    return [201, this.#store(namespace, name, { ...object, metadata: { ...metadata, ...own } })]
  }

  #update(namespace: string, name: string, current: Fields, text: string): [number, unknown] {
    const object = fieldsOf(JSON.parse(text))
    const metadata = fieldsOf(object.metadata)
    const old = fieldsOf(current.metadata)
    const problem = problemOf(object, namespace, name)
    if (problem !== undefined) return failure(422, problem)
    const isOther = metadata.uid !== undefined && metadata.uid !== old.uid
    const { resourceVersion } = metadata
    if (isOther || (resourceVersion !== undefined && resourceVersion !== old.resourceVersion)) {
      return failure(409, `Operation cannot be fulfilled on leases "${name}": it has been modified`)
    }
    return [200, this.#store(namespace, name, { ...object, metadata: { ...old, ...metadata } })]
  }

  #store(namespace: string, name: string, object: Fields): Fields {
    const metadata = { ...fieldsOf(object.metadata), resourceVersion: String(++this.#version) }
    const stored = { ...object, metadata }
    this.#objects.set(`${namespace}/${name}`, stored)
    return stored
  }
}

function problemOf(object: Fields, namespace: string, name: string): string | undefined {
  const metadata = fieldsOf(object.metadata)
  const spec = fieldsOf(object.spec)
  if (object.apiVersion !== 'coordination.k8s.io/v1' || object.kind !== 'Lease')
    return 'not a Lease'
  if (metadata.name !== name || (metadata.namespace ?? namespace) !== namespace) {
    return 'the name of the object does not match the path'
  }
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name)) return 'metadata.name: Invalid value'
  const { leaseDurationSeconds: seconds, leaseTransitions: transitions } = spec
  if (seconds !== undefined && !(Number.isInteger(seconds) && (seconds as number) > 0)) {
    return 'spec.leaseDurationSeconds: must be greater than 0'
  }
  const isCount = Number.isInteger(transitions) && (transitions as number) >= 0
  if (transitions !== undefined && (!isCount || (transitions as number) >= 2 ** 31)) {
    return 'spec.leaseTransitions: must be greater than or equal to 0'
  }
  for (const field of ['acquireTime', 'renewTime']) {
    if (spec[field] !== undefined && !MICRO_TIME.test(String(spec[field]))) {
      return `spec.${field}: parsing time as RFC3339 with microseconds`
    }
  }
  for (const value of Object.values(fieldsOf(metadata.annotations))) {
    if (typeof value !== 'string') return 'metadata.annotations: must be text'
  }
  return undefined
}

function failure(code: number, message: string): [number, unknown] {
  return [code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code }]
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}
