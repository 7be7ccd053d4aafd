/**
 * The registered endpoints as routes. Documents are checked against their schemas on the way in and out.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { errorText, StateError } from '../../core/errors.ts'
import { parseExact } from '../../core/json/json.ts'
import { issuesText, type Schema } from '../../core/json/schema.ts'
import { assertSchema, validateSchema } from '../../store/filters/schema-validator.ts'
import type { Route } from '../contract/route.ts'
import type { ServerIo } from '../data/io.ts'
import { holdAnswer } from '../exchange/held-answer.ts'
import type { RequestBodies } from '../exchange/request-bodies.ts'
import { requestUrl } from '../exchange/request-url.ts'
import type { Endpoint, EndpointContext, EndpointMethod, NodeEndpoint } from './endpoint.ts'
import { compileTemplate, type PathTemplate, type PathVariables } from './path-template.ts'
import type { Router } from './router.ts'
import {
  exchangeSignal,
  readWebBody,
  sendWebResponse,
  socketSignal,
  toWebRequest,
} from './web-handler.ts'

export interface EndpointServices {
  readonly bodies: RequestBodies
  readonly io: ServerIo
}

/** The endpoints of a server, in order of registration. They may be added while it serves. */
export class Endpoints {
  readonly #router: Router
  readonly #services: EndpointServices
  readonly #endpoints = new Set<RegisteredEndpoint>()

  constructor(router: Router, services: EndpointServices) {
    this.#router = router
    this.#services = services
  }

  /**
   * Adds an endpoint; returns what takes it out again.
   * @throws StateError `invalid_option` for a template, method or schema that cannot be used.
   */
  add(endpoint: Endpoint): () => void {
    const registered = new RegisteredEndpoint(endpoint, this.#services)
    const remove = this.#router.add(registered.route, registered.template)
    this.#endpoints.add(registered)
    return () => {
      remove()
      this.#endpoints.delete(registered)
    }
  }

  /** The endpoints with their templates, in order of registration. */
  list(): { readonly endpoint: Endpoint; readonly template: PathTemplate }[] {
    return [...this.#endpoints]
  }
}

class RegisteredEndpoint {
  readonly endpoint: Endpoint
  readonly template: PathTemplate
  readonly route: Route
  readonly #methods: ReadonlyMap<string, EndpointMethod>
  readonly #services: EndpointServices

  constructor(endpoint: Endpoint, services: EndpointServices) {
    this.endpoint = endpoint
    this.template = compileTemplate(endpoint.path)
    this.#methods = checkMethods(endpoint)
    this.#services = services
    const { path, upgrade, description = '' } = endpoint
    this.route = {
      ...{ path, description, who: 'client', isOfClients: true },
      methods: [...this.#methods.keys()],
      http: (request, response, { variables }) => this.#handle(request, response, variables),
      upgrade:
        upgrade !== undefined && this.#methods.has('GET')
          ? (request, socket, head, { variables }) =>
              upgrade(request, socket, head, {
                variables,
                url: requestUrl(request),
                io: services.io,
                body: undefined,
                signal: socketSignal(socket),
              })
          : undefined,
    }
  }

  async #handle(
    request: IncomingMessage,
    response: ServerResponse,
    variables: PathVariables,
  ): Promise<void> {
    const { bodies, io } = this.#services
    const { maxBodyBytes } = bodies.limits
    const schemas = this.#method(request.method ?? '') ?? {}
    const signal = exchangeSignal(response)
    const url = requestUrl(request)
    const document = await readDocument(request, schemas.request, bodies)
    const context = { variables, url, io, body: document?.value, signal }
    if (this.endpoint.handler !== undefined) {
      await this.#handleByNode(this.endpoint.handler, request, response, context)
      return
    }
    const body = document === undefined ? {} : { body: document.json }
    const webRequest = toWebRequest(request, { url, signal, maxBodyBytes, ...body })
    const answer = await this.endpoint.fetch(webRequest, context)
    await sendWebResponse(request, response, await this.#checked(answer, schemas.response))
  }

  /** A HEAD is a GET whose body is not sent (RFC 9110 section 9.3.2). */
  #method(method: string): EndpointMethod | undefined {
    return this.#methods.get(method) ?? (method === 'HEAD' ? this.#methods.get('GET') : undefined)
  }

  async #handleByNode(
    handler: NodeEndpoint['handler'],
    request: IncomingMessage,
    response: ServerResponse,
    context: EndpointContext,
  ): Promise<void> {
    const schema = this.#method(request.method ?? '')?.response
    if (schema === undefined) {
      await handler(request, response, context)
      return
    }
    const held = holdAnswer(response, this.#services.bodies.limits.maxBodyBytes)
    let body: Buffer | undefined
    try {
      ;[body] = await Promise.all([held.body, handler(request, response, context)])
      if (body !== undefined && response.statusCode < 300 && body.length > 0) {
        await this.#assertFits(body.toString('utf8'), schema)
      }
    } catch (error) {
      held.forgetHeaders()
      throw error
    } finally {
      held.release()
    }
    if (body !== undefined) response.end(body)
  }

  async #checked(answer: Response, schema: Schema | undefined): Promise<Response> {
    if (!(answer instanceof Response)) {
      throw new TypeError(`endpoint ${this.endpoint.path} gave no Response`)
    }
    if (schema === undefined || !answer.ok || answer.body === null) return answer
    const text = await readWebBody(answer, this.#services.bodies.limits.maxBodyBytes)
    await this.#assertFits(text, schema)
    return new Response(text, answer)
  }

  async #assertFits(text: string, schema: Schema): Promise<void> {
    const problem = await problemOf(text, schema)
    if (problem === undefined) return
    // Not the client's business: it gets the general 500, the log gets this.
    throw new Error(`endpoint ${this.endpoint.path} answered against its schema: ${problem}`)
  }
}

/** What is wrong with an answer's text; undefined when nothing is. */
async function problemOf(text: string, schema: Schema): Promise<string | undefined> {
  try {
    const { issues } = await validateSchema(schema, parseExact(text))
    return issues === undefined ? undefined : issuesText(issues)
  } catch (error) {
    return errorText(error)
  }
}

/** The request's document, checked; undefined when no schema is asked for or no body can be. */
async function readDocument(
  request: IncomingMessage,
  schema: Schema | undefined,
  bodies: RequestBodies,
): Promise<{ readonly json: string; readonly value: unknown } | undefined> {
  if (schema === undefined || request.method === 'GET' || request.method === 'HEAD')
    return undefined
  const json = await bodies.readJson(request)
  const result = await validateSchema(schema, parseExact(json))
  if (result.issues === undefined) return { json, value: result.value }
  throw new StateError('invalid_json', `schema: ${issuesText(result.issues)}`)
}

/** Methods that the Fetch standard or Node keep from handlers. */
const REFUSED_METHODS: readonly string[] = ['CONNECT', 'TRACE', 'TRACK']

function checkMethods(endpoint: Endpoint): ReadonlyMap<string, EndpointMethod> {
  const { path, handler, fetch } = endpoint
  const methods = new Map<string, EndpointMethod>()
  if ((handler === undefined) === (fetch === undefined)) {
    throw refusal(path, 'it needs exactly one of handler and fetch')
  }
  for (const [name, schemas] of Object.entries(endpoint.methods)) {
    if (!/^[A-Z]+$/.test(name) || REFUSED_METHODS.includes(name)) {
      throw refusal(path, `method "${name}" cannot be served`)
    }
    for (const side of ['request', 'response'] as const) {
      const schema = schemas[side]
      if (schema !== undefined) assertSchema(schema, `${name} ${path} (${side})`)
    }
    methods.set(name, schemas)
  }
  return methods
}

function refusal(path: string, why: string): StateError {
  return new StateError('invalid_option', `ooo: endpoint "${path}" is refused: ${why}`)
}
