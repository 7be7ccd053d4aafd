/** Whether something guards the data of a node, or its owner has said that nothing is to. */
import { StateError } from '../../core/errors.ts'
import { isLoopback } from '../../core/loopback.ts'

export interface ProtectionFacts {
  /** What it listens on. */
  readonly host: string
  /** Said by the owner: whoever reaches the node reads and writes. */
  readonly isOpen: boolean
  readonly hasMiddleware: boolean
}

/** @throws StateError `unprotected` for a node that other machines reach and nothing guards. */
export function assertProtected({ host, isOpen, hasMiddleware }: ProtectionFacts): void {
  if (isLoopback(host) || isOpen || hasMiddleware) return
  throw new StateError(
    'unprotected',
    `ooo: other machines reach this node at ${host}, and nothing guards its data; say --open (open: true) to let everybody read and write who reaches it, register middleware before open(), or listen on 127.0.0.1`,
  )
}
