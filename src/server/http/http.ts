/**
 * The life of an HTTP request: its route is looked up, then the page guard, cross-origin headers, admission and
 * middleware are asked, then the door of the route, and the route answers; errors become statuses here and
 * nowhere else.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { errorText } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import type { Admission } from '../admission/admission.ts'
import type { AdmissionRefusal } from '../admission/refusals.ts'
import { signAnswer } from '../data/forward.ts'
import type { DataContext } from '../data/routes.ts'
import type { WriteStatusContext } from '../data/write-route.ts'
import { answerPreflight, applyCors, type CorsRules, isPreflight } from '../doors/cors.ts'
import type { PageGuard } from '../doors/page-guard.ts'
import type { HealthContext } from '../exchange/health.ts'
import { runMiddleware } from '../exchange/middleware.ts'
import { errorReply, type Reply, sendReply, textReply } from '../exchange/reply.ts'
import type { UnreadAnswers } from '../exchange/unread-answers.ts'
import type { ManagementContext } from '../management/management.ts'
import type { MetricsContext } from '../management/metrics.ts'
import type { Registry } from '../management/registry.ts'
import type { RoutedRequest, RouteTable } from '../routing/route-table.ts'

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
  readonly routes: RouteTable
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
    const { url } = request
    const routed = context.routes.routeOf(request, false)
    const { route } = routed
    const verdict = context.pages.judge(request, 'request', route)
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
    const { admission, registry } = context
    const refusal = admission.judgeRequest(request, response, route.isOfClients === true)
    if (refusal !== undefined) {
      await sendReply(request, response, refusalReply(refusal))
      return
    }
    await runMiddleware(registry.middleware, request, response, () => {
      // A client that left while middleware ran is not heard of again: nothing is begun for it.
      if (response.destroyed) return undefined
      // Middleware may have sent it somewhere else.
      const found = request.url === url ? routed : context.routes.routeOf(request, false)
      return answer(context, request, response, found)
    })
  } catch (error) {
    await answerError(context, request, response, error)
  } finally {
    context.bodies.release(request)
  }
}

async function answer(
  context: HttpContext,
  request: IncomingMessage,
  response: ServerResponse,
  { route, target }: RoutedRequest,
): Promise<void> {
  route.authorize?.(request)
  const reply = await route.http?.(request, response, target)
  if (reply !== undefined) await sendReply(request, response, reply, context)
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
