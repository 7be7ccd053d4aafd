/**
 * What probes and people are told about a node. Alive: it answers. Ready: it can be sent requests;
 * what is wrong beside that is a reason for a person to look, not for a probe to take the node out,
 * as it serves all that is intact.
 */
import type { StateError } from '../../core/errors.ts'
import type { KeyValueStore } from '../../store/key-value-store.ts'
import { jsonReply, type Reply, textReply } from './reply.ts'

/** Answers 200 `ok` while the server is open. */
export const HEALTH_PATH = '/-/healthz'
/** Answers 200 `{"status":"ready","reasons":[…]}` while the server takes requests, and has its storage. */
export const READY_PATH = '/-/readyz'

export interface HealthContext {
  /** False once requests are refused. */
  readonly isServing: () => boolean
  /** False from the first step of `close`: connections end with their next answer. */
  readonly isStaying: () => boolean
  /** Why the node has its storage no more; undefined while it has it. */
  readonly lost: () => StateError | undefined
  /** What people should look at, as sentences; empty when all is well. */
  readonly warnings: () => readonly string[]
}

export function answerHealth({ isServing }: HealthContext): Reply {
  return isServing() ? textReply(200, 'ok') : textReply(503, 'ooo: server is closing')
}

export function answerReady({ isStaying, lost, warnings }: HealthContext): Reply {
  const reason = lost()
  const held = reason === undefined ? 'ready' : 'lost'
  const status = isStaying() ? held : 'closing'
  const reasons = reason === undefined ? warnings() : [reason.clientText, ...warnings()]
  const reply = jsonReply(`${JSON.stringify({ status, reasons })}\n`)
  return status === 'ready' ? reply : { ...reply, status: 503 }
}

/** What is wrong with a node's storage, as sentences for people; what is intact is served. */
export function storageWarnings(
  store: Pick<KeyValueStore, 'damaged' | 'damageFindings' | 'backlog' | 'refused' | 'lost'>,
): readonly string[] {
  // All else follows from that, and is another node's to tell.
  if (store.lost !== undefined) return []
  const warnings = [...store.damageFindings]
  const damaged = store.damaged().length
  if (damaged > 0) warnings.push(`${counted(damaged, 'record')} can not be read: see /?api=storage`)
  const { silentMs, writes, rows, refusal } = store.backlog
  if (refusal !== undefined) warnings.push(`writes are refused: ${refusal}`)
  if (silentMs > 0) {
    const seconds = Math.floor(silentMs / 1000)
    warnings.push(`the storage has not answered for ${seconds} s; writes that wait: ${writes}`)
  }
  if (rows > 0) {
    warnings.push(`${counted(rows, 'row')} of answered writes could not be stored yet`)
  }
  const { count } = store.refused
  if (count > 0) warnings.push(`${counted(count, 'record')} of others not taken: see /?api=storage`)
  return warnings
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
