/** Routes that every node has: its page and management, probes, what clients ask beside keys, and keys. */
import { RESERVED_PATHS } from '../../store/filters/filters.ts'
import type { Route, RouteTarget, UpgradeHandler } from '../contract/route.ts'
import { answerBatch, BATCH_PATH } from '../data/batch-route.ts'
import { deleteKey, patchKey, postKey, readKey } from '../data/routes.ts'
import { answerWriteStatus, streamWriteStatus, wantsEvents } from '../data/write-route.ts'
import { answerHealth, answerReady, HEALTH_PATH, READY_PATH } from '../exchange/health.ts'
import type { Reply } from '../exchange/reply.ts'
import { answerManagement } from '../management/management.ts'
import { answerMetrics, METRICS_PATH } from '../management/metrics.ts'
import type { PathTemplate } from '../routing/path-template.ts'
import type { RouteTable } from '../routing/route-table.ts'
import { WRITES_PREFIX } from '../write-status/tracker.ts'
import type { HttpContext } from './http.ts'
import { answerAsset, answerIndex, UI_PREFIX } from './static.ts'
import { openClock, openSubscription, openWriteStatus, type UpgradeContext } from './upgrade.ts'

const READ = ['GET', 'HEAD'] as const

/** Adds them behind what plugins have added. */
export function addBuiltIn(routes: RouteTable, context: UpgradeContext): void {
  const clock: UpgradeHandler = (request, socket, head) => openClock(context, request, socket, head)
  for (const route of ownRoutes(context)) routes.add(route)
  const page = { methods: READ, who: 'client', upgrade: clock } as const
  routes.add({
    ...{ ...page, path: '/', description: 'the web page; the clock' },
    http: (_request, _response, { query }) => answerRoot(context, query),
  })
  const asset = {
    ...{ ...page, path: ASSET.text, isOfClients: true },
    description: 'files of the web page under the names of the Go server',
    http: (_request: unknown, _response: unknown, { path }: RouteTarget) =>
      answerAsset(context.uiDir, path.slice(1)),
  }
  routes.add(asset, ASSET)
  addKeys(routes, context)
}

function addKeys(routes: RouteTable, context: UpgradeContext): void {
  const add = (methods: readonly string[], description: string, more: Partial<Route>): void =>
    routes.add(
      { ...{ path: KEY.text, methods, description, who: 'client', isOfClients: true }, ...more },
      KEY,
    )
  add(READ, 'an entry, or a list; its changes', {
    http: (request, response, { variables: { key = '' } }) =>
      readKey(context, request, response, key),
    upgrade: (...handshake) => openSubscription(context, ...handshake),
  })
  add(['POST'], 'stores a value', {
    http: (request, _response, { variables: { key = '' } }) => postKey(context, request, key),
  })
  add(['PATCH'], 'merges into a value', {
    http: (request, _response, { variables: { key = '' } }) => patchKey(context, request, key),
  })
  add(['DELETE'], 'deletes one, or all that match', {
    http: (request, _response, { variables: { key = '' } }) => deleteKey(context, request, key),
  })
  add(['OPTIONS'], 'what may be asked of a path', {
    http: (_request, _response, { path }) => {
      return { status: 204, headers: { Allow: routes.allow(path) } }
    },
  })
}

function ownRoutes(context: UpgradeContext): Route[] {
  return [
    {
      ...{ path: HEALTH_PATH, methods: READ, who: 'anyone' },
      description: '200 while the node serves',
      http: () => answerHealth(context),
    },
    {
      ...{ path: READY_PATH, methods: READ, who: 'anyone' },
      description: '200 while the node takes requests, with what operators should look at',
      http: () => answerReady(context),
    },
    {
      ...{ path: METRICS_PATH, methods: READ, who: 'client' },
      description: 'connections, refusals and fan-out, for Prometheus',
      http: () => answerMetrics(context),
    },
    {
      ...{ path: BATCH_PATH, methods: ['POST'], who: 'client', isOfClients: true },
      description: 'several writes, all or none',
      http: (request) => answerBatch(context, request),
    },
    {
      ...{ path: `${WRITES_PREFIX}{id:.*}`, methods: READ, who: 'client', isOfClients: true },
      description: 'what became of a write',
      http: (request, response) =>
        request.method === 'GET' && wantsEvents(request)
          ? streamWriteStatus(context, request, response)
          : answerWriteStatus(context, request),
      upgrade: (request, socket, head) => openWriteStatus(context, request, socket, head),
    },
    {
      ...{ path: `${UI_PREFIX}{file:.*}`, methods: READ, who: 'client' },
      description: 'files of the web page',
      http: (_request, _response, { variables }) =>
        answerAsset(context.uiDir, variables.file ?? ''),
    },
  ]
}

async function answerRoot(context: HttpContext, query: string): Promise<Reply> {
  const reply = await answerManagement(context.management, new URLSearchParams(query))
  return reply ?? answerIndex(context.uiDir, context.name)
}

/** Paths that a key could have. Most requests come here, so they are matched without a template's expression. */
const KEY: PathTemplate = {
  text: '/{key}',
  variables: new Map([['key', 'key']]),
  match: (path) => (/^\/[a-zA-Z*\d/\-_.]+$/.test(path) ? { key: path.slice(1) } : undefined),
}

/** Paths whose first segment belongs to the web page of the Go server. */
const ASSET: PathTemplate = {
  text: '/{asset}',
  variables: new Map([['asset', 'asset']]),
  match: (path) => (RESERVED_PATHS.includes(path.split('/', 2)[1] ?? '') ? {} : undefined),
}
