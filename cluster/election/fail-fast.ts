/** Transports and calls that do not look for a leader while there is none. */

import type { Transport } from '../../src/core/ports/transport.ts'
import { NO_LEADER, UNKNOWN_LEADER, undecidedWithoutLeader } from '../../src/core/unknown-leader.ts'
import type { Replication } from '../../src/server/contract/plugin.ts'
import { streamUrl } from '../members/placement.ts'

/** A transport that does not look for nobody. */
export function failFast(transport: Transport): Transport {
  return {
    dial: (request, opened, handlers) => {
      if (request.url !== streamUrl(UNKNOWN_LEADER))
        return transport.dial(request, opened, handlers)
      queueMicrotask(() => handlers.close({ code: 1006, reason: NO_LEADER }))
      return { bufferedBytes: 0, send() {}, close() {}, terminate() {} }
    },
  }
}

/** Calls to leaders, of which nobody is none. @throws StateError `undecided` in place of that call. */
export function failFastCalls(calls: Pick<Replication, 'call'>): Pick<Replication, 'call'> {
  return {
    call: async (leader, request) => {
      if (leader !== UNKNOWN_LEADER) return calls.call(leader, request)
      throw undecidedWithoutLeader(`cluster: ${request.method} is not decided now`)
    },
  }
}
