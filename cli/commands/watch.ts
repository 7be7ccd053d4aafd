/** `ooo watch`: prints what changes under a key or glob, until it is stopped. */
import WebSocket from 'ws'
import {
  type ClientEntry,
  createClient,
  encodeJson,
  type SubscriptionState,
  type SubscriptionStatus,
} from '../../src/client/index.ts'
import { StateError } from '../../src/core/errors.ts'
import { type Command, type CommandContext, EXIT } from '../command/command.ts'
import { targetOf } from '../requests/target.ts'
import { CLIENT_SETTINGS } from '../settings/config.ts'
import { settingsOf } from '../settings/reading/resolve.ts'

export const WATCH: Command = {
  name: 'watch',
  summary: 'prints a key or list, then every change to it, one JSON line each',
  operands: '[URL] KEY',
  operandCount: [1, 2],
  settings: settingsOf(CLIENT_SETTINGS),
  notes: [
    'Each line is an entry as `ooo get` prints it, oldest first; a deleted entry is {"deleted":"KEY"}. The connection is restored when it is lost; news of it goes to standard error. Ctrl-C ends it.',
  ],
  async run(args, context) {
    const { url, key, rest } = targetOf(args, context.env)
    if (rest.length > 0) {
      throw new StateError('invalid_option', `${key}: takes nothing after it, got ${rest.length}`)
    }
    return await watch(url, key, context)
  },
}

/** Watches until a stop signal, or until the node says that coming back is useless. */
export function watch(url: string, key: string, context: CommandContext): Promise<number> {
  const client = createClient({ url, exactNumbers: true, WebSocket })
  return new Promise((resolve) => {
    let known: ReadonlyMap<string, ClientEntry> = new Map()
    let ended = false
    const end = (code: number): void => {
      ended = true
      unsubscribe()
      client.close()
      resolve(code)
    }
    const unsubscribe = context.onSignal(() => end(EXIT.done))
    context.onOutputClosed(() => end(EXIT.done))
    client.subscribe(key, {
      onState: (state: SubscriptionState) => {
        const next = byPath(state)
        for (const line of changedLines(known, next)) context.stdout(`${line}\n`)
        known = next
      },
      onStatus: (status) => {
        if (ended) return
        context.stderr(statusLine(url, key, status))
        if (status.kind === 'closed') end(EXIT.failed)
      },
      onError: (error) => context.stderr(`ooo: ${error.message}\n`),
    })
  })
}

/** The lines that lead from one state to the next: deletions first, then entries, oldest first. */
export function changedLines(
  before: ReadonlyMap<string, ClientEntry>,
  after: ReadonlyMap<string, ClientEntry>,
): string[] {
  const gone = [...before.keys()].filter((path) => !after.has(path))
  const changed = [...after.values()].filter((entry) => !isSame(before.get(entry.path), entry))
  changed.sort((a, b) => (versionOf(a) < versionOf(b) ? -1 : versionOf(a) > versionOf(b) ? 1 : 0))
  return [...gone.map((path) => encodeJson({ deleted: path })), ...changed.map(encodeJson)]
}

function isSame(a: ClientEntry | undefined, b: ClientEntry): boolean {
  return a !== undefined && a.created === b.created && a.updated === b.updated
}

function versionOf({ created, updated }: ClientEntry): bigint {
  return updated > created ? updated : created
}

function byPath(state: SubscriptionState): Map<string, ClientEntry> {
  const entries = Array.isArray(state) ? state : state === undefined ? [] : [state]
  return new Map(entries.map((entry: ClientEntry) => [entry.path, entry]))
}

function statusLine(url: string, key: string, status: SubscriptionStatus): string {
  switch (status.kind) {
    case 'connecting':
      return ''
    case 'live':
      return `ooo: watching ${key} on ${url}\n`
    case 'offline':
      return `ooo: ${url} is out of reach (${status.reason}), next try in ${status.retryInMs} ms\n`
    case 'closed':
      return `ooo: ${url} ended the watch: ${status.reason}\n`
  }
}
