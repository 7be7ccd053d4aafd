/**
 * Looks host names up, one look-up per name at a time. The system's resolver holds a thread of this process
 * until it gives a name up, up to a minute where no DNS server answers: dials that time out sooner and are
 * tried again would queue look-ups up faster than they end, for as long as the node is offline.
 */
import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'

/** Callers that wait for the same look-up; more are told to try again. */
const MAX_WAITING = 256

/**
 * A `lookup` for connections (`net.connect`). Callers that ask for a name while it is looked up get the
 * answer, or the error, of that look-up. Nothing is kept afterwards: a changed address is found by the next one.
 * @param resolve what looks up; default: the system's resolver
 */
export function createSharedLookup(resolve: LookupFunction = lookup): LookupFunction {
  const pending = new Map<string, Parameters<LookupFunction>[2][]>()
  return (hostname, options, callback) => {
    const { family = 0, hints = 0, all = false, order = '', verbatim = '' } = options
    const key = JSON.stringify([hostname, family, hints, all, order, verbatim])
    const waiting = pending.get(key)
    if (waiting === undefined) {
      const callers = [callback]
      pending.set(key, callers)
      resolve(hostname, options, (error, address, found) => {
        pending.delete(key)
        for (const caller of callers) caller(error, address, found)
      })
    } else if (waiting.length < MAX_WAITING) waiting.push(callback)
    else callback(tooMany(hostname), '')
  }
}

function tooMany(hostname: string): NodeJS.ErrnoException {
  const text = `${hostname}: ${MAX_WAITING} callers wait for its address already`
  return Object.assign(new Error(text), { code: 'EAI_AGAIN' })
}
