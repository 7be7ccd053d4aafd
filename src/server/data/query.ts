/**
 * What the query of a request says about data: `?durability=memory|process|disk` of a write, and
 * `?order=oldest|newest&limit=N&from=NS&to=NS` of a list. Other parameters mean nothing here.
 */
import type { IncomingMessage } from 'node:http'
import { StateError } from '../../core/errors.ts'
import type { Durability } from '../../core/ports/storage-adapter.ts'
import { type ListRange, MAX_STAMP } from '../../store/types/ranges.ts'
import { parseTarget } from '../exchange/request-url.ts'

const LEVELS: readonly Durability[] = ['memory', 'process', 'disk']

/**
 * The level the query asks for; undefined when it names none: that of the node holds.
 * @throws StateError `invalid_option` naming the value and the levels there are.
 */
export function durabilityOf(request: Pick<IncomingMessage, 'url'>): Durability | undefined {
  const query = new URLSearchParams(parseTarget(request.url)?.query)
  const [given, ...further] = query.getAll('durability')
  if (given === undefined) return undefined
  const level = LEVELS.find((known) => known === given)
  if (level !== undefined && further.length === 0) return level
  const shown = JSON.stringify([given, ...further].join(', '))
  throw new StateError(
    'invalid_option',
    `ooo: durability ${shown} is not one of: ${LEVELS.join(', ')}`,
  )
}

/**
 * What of a list a request asks for: newest first unless it says otherwise.
 * @throws StateError `invalid_option` naming the parameter, its value and what it may be.
 */
export function listRangeOf(url: string | undefined): ListRange {
  const question = url?.indexOf('?') ?? -1
  if (url === undefined || question === -1) return {}
  const query = new URLSearchParams(url.slice(question + 1))
  return {
    order: orderOf(one(query, 'order')),
    limit: limitOf(one(query, 'limit')),
    from: stampOf('from', one(query, 'from')),
    to: stampOf('to', one(query, 'to')),
  }
}

function one(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name)
  if (values.length < 2) return values[0]
  throw invalid(`${name} must be given once, not ${values.length} times`)
}

function orderOf(text: string | undefined): ListRange['order'] {
  if (text === undefined || text === 'newest' || text === 'oldest') return text
  throw invalid(`order must be newest or oldest, not ${shown(text)}`)
}

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const limit = Number(text)
  if (/^\d+$/.test(text) && limit >= 1 && Number.isSafeInteger(limit)) return limit
  const most = Number.MAX_SAFE_INTEGER
  throw invalid(`limit must be an integer from 1 to ${most}, not ${shown(text)}`)
}

function stampOf(name: string, text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined
  const stamp = /^\d{1,19}$/.test(text) ? BigInt(text) : -1n
  if (stamp >= 0n && stamp <= MAX_STAMP) return stamp
  throw invalid(
    `${name} must be nanoseconds, an integer from 0 to ${MAX_STAMP}, not ${shown(text)}`,
  )
}

function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}

function invalid(text: string): StateError {
  return new StateError('invalid_option', `ooo: ${text}`)
}
