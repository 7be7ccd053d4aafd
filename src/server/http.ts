/**
 * The life of an HTTP request: cross-origin headers, then the first of plugin prefixes, `/`, the web
 * UI's assets, health, and keys; errors become statuses here and nowhere else.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from '../core/logger.ts'
import { answerPreflight, applyCors, isPreflight } from './cors.ts'
import { answerData, type DataContext } from './data-routes.ts'
import { findHandler, type PluginRoutes } from './plugin-host.ts'
import {
  errorReply,
  methodNotAllowedReply,
  notFoundReply,
  type Reply,
  sendReply,
  textReply,
} from './reply.ts'
import { keyOfPath, parseTarget, requestUrl } from './request-url.ts'
import { answerAsset, answerIndex, UI_PREFIX } from './static.ts'

/** Answers 200 `ok` while the server is open. */
export const HEALTH_PATH = '/-/healthz'

export interface HttpContext extends DataContext {
  readonly name: string
  readonly uiDir: string | undefined
  readonly allowedOrigins: readonly string[]
  readonly plugins: PluginRoutes
  readonly logger: Logger
  /** False from the first step of `close`: answers then end their connection. */
  readonly isServing: () => boolean
}

/** Answers one request. Never rejects. */
export async function handleRequest(
  context: HttpContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    if (!context.isServing()) response.setHeader('Connection', 'close')
    if (isPreflight(request)) {
      answerPreflight(request, response, context.allowedOrigins)
      return
    }
    applyCors(request, response, context.allowedOrigins)
    const path = parseTarget(request.url)?.path
    const handler = path === undefined ? undefined : findHandler(context.plugins, path)
    if (handler !== undefined) {
      await handler(request, response, requestUrl(request.url, request.headers.host))
      return
    }
    await sendReply(request, response, await answer(context, request, path))
  } catch (error) {
    await answerError(context, request, response, error)
  }
}

async function answer(
  context: HttpContext,
  request: IncomingMessage,
  path: string | undefined,
): Promise<Reply> {
  if (path === undefined) return textReply(400, 'Bad Request\n')
  if (path === '/') return onlyGet(request, () => answerIndex(context.uiDir, context.name))
  if (path === HEALTH_PATH) return onlyGet(request, () => health(context))
  if (path.startsWith(UI_PREFIX)) {
    return onlyGet(request, () => answerAsset(context.uiDir, path.slice(UI_PREFIX.length)))
  }
  const key = keyOfPath(path)
  if (key === undefined || path.startsWith('/-/')) return notFoundReply()
  return answerData(context, request, key)
}

function onlyGet(
  request: IncomingMessage,
  get: () => Reply | Promise<Reply>,
): Reply | Promise<Reply> {
  return request.method === 'GET' || request.method === 'HEAD'
    ? get()
    : methodNotAllowedReply('GET, HEAD')
}

function health(context: HttpContext): Reply {
  return context.isServing() ? textReply(200, 'ok') : textReply(503, 'ooo: server is closing')
}

async function answerError(
  context: HttpContext,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
): Promise<void> {
  const reply = errorReply(error, context.logger)
  // Half an answer can not be taken back; cutting it tells the client that it is not whole.
  if (response.headersSent) response.destroy()
  else await sendReply(request, response, reply).catch(() => response.destroy())
}
