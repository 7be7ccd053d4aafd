/** Transports and calls that do not look for a leader while there is none. */
import { NOBODY, NOBODY_LEADS, undecidedByNobody } from '../../src/core/nobody.ts'
import type { Transport } from '../../src/core/transport.ts'
import type { Replication } from '../../src/server/plugin.ts'
import { streamUrl } from '../placement.ts'

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

/** Calls to leaders, of which nobody is none. @throws StateError `undecided` in place of that call. */
export function callsWithoutNobody(calls: Pick<Replication, 'call'>): Pick<Replication, 'call'> {
  return {
    call: async (leader, request) => {
      if (leader !== NOBODY) return calls.call(leader, request)
      throw undecidedByNobody(`cluster: ${request.method} is not decided now`)
    },
  }
}
