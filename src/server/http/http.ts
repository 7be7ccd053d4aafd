/**
 * The life of an HTTP request: the page guard, cross-origin headers, middleware, then the first of plugin prefixes,
 * registered routes, `/` with the management API, health, the web UI's assets, and keys; errors become
 * statuses here and nowhere else.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { errorText } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import { RESERVED_PATHS } from '../../store/filters/filters.ts'
import type { Admission } from '../admission/admission.ts'
import type { AdmissionRefusal } from '../admission/refusals.ts'
import { answerBatch, BATCH_PATH } from '../data/batch-route.ts'
import { signAnswer } from '../data/forward.ts'
import { ALLOWED_METHODS, answerData, type DataContext } from '../data/routes.ts'
import {
  answerWriteStatus,
  streamWriteStatus,
  type WriteStatusContext,
  wantsEvents,
} from '../data/write-route.ts'
import { answerPreflight, applyCors, type CorsRules, isPreflight } from '../doors/cors.ts'
import type { PageGuard } from '../doors/page-guard.ts'
import {
  answerHealth,
  answerReady,
  HEALTH_PATH,
  type HealthContext,
  READY_PATH,
} from '../exchange/health.ts'
import { runMiddleware } from '../exchange/middleware.ts'
import {
  errorReply,
  methodNotAllowedReply,
  notFoundReply,
  type Reply,
  sendReply,
  textReply,
} from '../exchange/reply.ts'
import { keyOfPath, parseTarget, type RequestTarget, requestUrl } from '../exchange/request-url.ts'
import type { UnreadAnswers } from '../exchange/unread-answers.ts'
import { answerManagement, type ManagementContext } from '../management/management.ts'
import { answerMetrics, METRICS_PATH, type MetricsContext } from '../management/metrics.ts'
import type { Registry } from '../management/registry.ts'
import { WRITES_PREFIX } from '../write-status/tracker.ts'
import { findHandler, type PluginRoutes } from './plugin-host.ts'
import { answerAsset, answerIndex, UI_PREFIX } from './static.ts'

export interface HttpContext
  extends DataContext,
    WriteStatusContext,
    HealthContext,
    MetricsContext {
  readonly admission: Admission
  readonly name: string
  readonly uiDir: string | undefined
  /** Which pages are served, and under which host names. */
  readonly pages: PageGuard
  readonly cors: CorsRules
  /** Whether answers are compressed for clients that take it. */
  readonly compression: boolean
  readonly answers: UnreadAnswers
  readonly plugins: PluginRoutes
  readonly registry: Registry
  readonly management: ManagementContext
  readonly logger: Logger
}

/** Answers one request. Never rejects. */
export async function handleRequest(
  context: HttpContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    signAnswer(request, response, context.forward.store.id)
    // Answers end their connection from the first step of `close`.
    if (!context.isStaying()) response.setHeader('Connection', 'close')
    const verdict = context.pages.judge(request, 'request')
    if (verdict.kind === 'refused') {
      await sendReply(request, response, pageRefusal(verdict))
      return
    }
    const { allowOrigin } = verdict
    if (isPreflight(request)) {
      answerPreflight(request, response, context.cors, allowOrigin)
      return
    }
    applyCors(response, context.cors, allowOrigin)
    const refusal = context.admission.judgeRequest(request, response)
    if (refusal !== undefined) {
      await sendReply(request, response, refusalReply(refusal))
      return
    }
    await runMiddleware(context.registry.middleware, request, response, () =>
      dispatch(context, request, response),
    )
  } catch (error) {
    await answerError(context, request, response, error)
  } finally {
    context.bodies.release(request)
  }
}

/** The first of: plugins' prefixes, registered routes, and everything that is answered by a Reply. */
async function dispatch(
  context: HttpContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const target = parseTarget(request.url)
  if (target === undefined) {
    await sendReply(request, response, textReply(400, 'Bad Request\n'))
    return
  }
  const { path } = target
  const handler = findHandler(context.plugins, path)
  const match =
    handler === undefined && !path.startsWith(OWN_PREFIX)
      ? context.registry.router.find(request.method ?? '', path)
      : undefined
  const url = (): URL => {
    const asked = requestUrl(request.url, request.headers.host)
    if ('encrypted' in request.socket) asked.protocol = 'https:'
    return asked
  }
  if (handler !== undefined) await handler(request, response, url())
  else if (match !== undefined) await match.route.handle(request, response, url(), match.variables)
  else if (path.startsWith(WRITES_PREFIX) && request.method === 'GET' && wantsEvents(request)) {
    await streamWriteStatus(context, request, response)
  } else
    await sendReply(request, response, await answer(context, request, response, target), context)
}

/** Paths of the server's own, which no registered route can take. */
export const OWN_PREFIX: string = '/-/'

async function answer(
  context: HttpContext,
  request: IncomingMessage,
  response: ServerResponse,
  { path, query }: RequestTarget,
): Promise<Reply> {
  if (path === '/') return onlyGet(request, () => answerRoot(context, query))
  if (path === HEALTH_PATH) return onlyGet(request, () => answerHealth(context))
  if (path === READY_PATH) return onlyGet(request, () => answerReady(context))
  if (path === METRICS_PATH) return onlyGet(request, () => answerMetrics(context))
  if (path === BATCH_PATH) return answerBatch(context, request)
  if (path.startsWith(WRITES_PREFIX))
    return onlyGet(request, () => answerWriteStatus(context, request))
  if (path.startsWith(UI_PREFIX)) {
    return onlyGet(request, () => answerAsset(context.uiDir, path.slice(UI_PREFIX.length)))
  }
  // Other methods on the older server's asset names reach the data routes.
  if (isReserved(path) && isRead(request)) return answerAsset(context.uiDir, path.slice(1))
  const key = path.startsWith(OWN_PREFIX) ? undefined : keyOfPath(path)
  const methods = context.registry.router.methodsOf(path)
  if (request.method === 'OPTIONS' && methods.length > 0) return allowReply(methods, key)
  if (key !== undefined) return answerData(context, request, response, key)
  return methods.length === 0 ? notFoundReply() : methodNotAllowedReply(methods.join(', '))
}

/** What may be asked of a path that endpoints have, and a key perhaps too. */
function allowReply(methods: readonly string[], key: string | undefined): Reply {
  const head = methods.includes('GET') ? ['HEAD'] : []
  const ofKey = key === undefined ? ['OPTIONS'] : ALLOWED_METHODS.split(', ')
  return {
    status: 204,
    headers: { Allow: [...new Set([...methods, ...head, ...ofKey])].join(', ') },
  }
}

function refusalReply({ status, text, headers }: AdmissionRefusal): Reply {
  const reply = textReply(status, text)
  return { ...reply, headers: { ...reply.headers, ...headers } }
}

/** Its body is not read: nothing of the request is done. */
function pageRefusal({ status, text }: { readonly status: number; readonly text: string }): Reply {
  const reply = textReply(status, text)
  const headers = { ...reply.headers, Vary: 'Origin', 'X-Content-Type-Options': 'nosniff' }
  return { ...reply, headers }
}

async function answerRoot(context: HttpContext, query: string): Promise<Reply> {
  const reply = await answerManagement(context.management, new URLSearchParams(query))
  return reply ?? answerIndex(context.uiDir, context.name)
}

/** Whether the first segment belongs to the older server's web UI. */
export function isReserved(path: string): boolean {
  return RESERVED_PATHS.includes(path.split('/', 2)[1] ?? '')
}

function isRead(request: IncomingMessage): boolean {
  return request.method === 'GET' || request.method === 'HEAD'
}

function onlyGet(
  request: IncomingMessage,
  get: () => Reply | Promise<Reply>,
): Reply | Promise<Reply> {
  return isRead(request) ? get() : methodNotAllowedReply('GET, HEAD')
}

async function answerError(
  context: HttpContext,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
): Promise<void> {
  if (response.destroyed) {
    context.logger.debug('a request failed after its client had gone', { error: errorText(error) })
    return
  }
  const reply = errorReply(error, context.logger)
  // Half an answer can not be taken back; cutting it tells the client that it is not whole.
  if (response.headersSent) response.destroy()
  else await sendReply(request, response, reply).catch(() => response.destroy())
}
