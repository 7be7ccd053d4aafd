/** What `ooo get` takes beside the node: which entries of a list. */
import { CLIENT_SETTINGS, type ClientConfig } from './config.ts'
import { type Kind, oneOf, type SettingsTable, wholeNumber } from './reading/setting.ts'

export interface GetConfig extends ClientConfig {
  /** undefined: newest first. */
  readonly order: 'newest' | 'oldest' | undefined
  /** undefined: all. */
  readonly limit: number | undefined
  /** Nanoseconds since the Unix epoch; undefined: from the first, to the last. */
  readonly from: bigint | undefined
  readonly to: bigint | undefined
}

const STAMP: Kind<bigint | undefined> = {
  placeholder: 'NANOSECONDS',
  allowed: 'nanoseconds since 1970, a whole number below 2^63 such as 1767225600000000000',
  parse: (text) => {
    const stamp = /^\d{1,19}$/.test(text) ? BigInt(text) : -1n
    return stamp >= 0n && stamp < 2n ** 63n ? stamp : undefined
  },
}

const ORDER: Kind<GetConfig['order']> = oneOf<'newest' | 'oldest'>(['newest', 'oldest'])

const LIMIT: Kind<number | undefined> = wholeNumber(1, 999_999_999_999_999)

export const GET_SETTINGS: SettingsTable<GetConfig> = {
  ...CLIENT_SETTINGS,
  order: {
    flag: 'order',
    env: undefined,
    kind: ORDER,
    fallback: undefined,
    fallbackText: 'newest',
    meaning: 'which entries of a list come first',
  },
  limit: {
    flag: 'limit',
    env: undefined,
    kind: LIMIT,
    fallback: undefined,
    fallbackText: 'all',
    meaning: 'at most this many entries of a list',
  },
  from: {
    flag: 'from',
    env: undefined,
    kind: STAMP,
    fallback: undefined,
    fallbackText: 'the first',
    meaning: 'only entries of a list created at this time or later',
  },
  to: {
    flag: 'to',
    env: undefined,
    kind: STAMP,
    fallback: undefined,
    fallbackText: 'the last',
    meaning: 'only entries of a list created at this time or earlier',
  },
}
