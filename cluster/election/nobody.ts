/**
 * Stands for the leader while it is not known who that is: what is written is owed to it, and it is out
 * of reach. Nothing can have this address (RFC 2606), and what speaks 2.0 leaves `https` alone.
 */
import { StateError } from '../../src/core/errors.ts'
import type { Transport } from '../../src/core/transport.ts'
import type { Replication } from '../../src/server/plugin.ts'
import { streamUrl } from '../placement.ts'

export const NOBODY = 'https://no-leader.invalid'

/** Why it is out of reach. */
export const NOBODY_LEADS = 'it is not known who leads'

/** A transport that does not look for nobody. */
export function withoutNobody(transport: Transport): Transport {
  return {
    dial: (request, opened, handlers) => {
      if (request.url !== streamUrl(NOBODY)) return transport.dial(request, opened, handlers)
      queueMicrotask(() => handlers.close({ code: 1006, reason: NOBODY_LEADS }))
      return { bufferedBytes: 0, send() {}, close() {}, terminate() {} }
    },
  }
}

/** Calls to leaders, of which nobody is none. */
export function callsWithoutNobody(calls: Pick<Replication, 'call'>): Pick<Replication, 'call'> {
  return {
    call: async (leader, request) => {
      if (leader !== NOBODY) return calls.call(leader, request)
      throw new StateError('unreachable', `cluster: ${NOBODY_LEADS}; nobody was asked`)
    },
  }
}
