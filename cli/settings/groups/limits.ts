/** The settings of `ooo serve` about how many connections it takes, and how fast. */
import { StateError } from '../../../src/core/errors.ts'
import { DEFAULT_MAX_VALUE_BYTES } from '../../../src/core/records/check.ts'
import { trustProxies } from '../../../src/server/admission/client-address.ts'
import type { AdmissionOptions } from '../../../src/server/admission/options.ts'
import type { ServerOptions } from '../../../src/server/contract/options.ts'
import { type Kind, type SettingsTable, wholeNumber } from '../reading/setting.ts'

export interface LimitsConfig {
  /** undefined: by the open files that the system allows. */
  readonly maxConnections: number | undefined
  readonly reservedConnections: number | undefined
  /** undefined: nine tenths of the connections. */
  readonly maxSubscribers: number | undefined
  /** 0: no limit. */
  readonly maxConnectionsPerAddress: number
  /** Addresses and CIDR blocks. */
  readonly trustedProxies: readonly string[]
  /** 0: no limit. */
  readonly upgradesPerSecond: number
  readonly upgradeBurst: number
  readonly backlog: number
  /** Bytes. */
  readonly maxValueBytes: number
}

const COUNT: Kind<number | undefined> = wholeNumber(0, 10_000_000)

const PROXIES: Kind<readonly string[]> = {
  placeholder: 'ADDRESS',
  allowed: 'an address or a block of addresses such as 10.0.0.1, 10.0.0.0/8 or fd00::/8',
  parse: (text) => {
    const entries = text.split(',').map((entry) => entry.trim())
    try {
      trustProxies(entries)
      return entries
    } catch (error) {
      if (error instanceof StateError) return undefined
      throw error
    }
  },
  join: (values) => [...new Set(values.flat())],
}

export const LIMITS_SETTINGS: SettingsTable<LimitsConfig> = {
  maxConnections: {
    flag: 'max-connections',
    env: 'OOO_MAX_CONNECTIONS',
    kind: COUNT,
    fallback: undefined,
    fallbackText: '50000, or fewer where the system allows fewer open files',
    meaning: 'connections of clients; more are answered 503; 0 for no limit',
  },
  reservedConnections: {
    flag: 'reserved-connections',
    env: 'OOO_RESERVED_CONNECTIONS',
    kind: COUNT,
    fallback: undefined,
    fallbackText: '1024, or an eighth of the open files that the system allows',
    meaning: 'connections beyond the limit that are answered, and served for nodes and management',
  },
  maxSubscribers: {
    flag: 'max-subscribers',
    env: 'OOO_MAX_SUBSCRIBERS',
    kind: COUNT,
    fallback: undefined,
    fallbackText: 'nine tenths of --max-connections',
    meaning: 'WebSockets of clients; more are refused with 503; 0 for no limit',
  },
  maxConnectionsPerAddress: {
    flag: 'max-connections-per-address',
    env: 'OOO_MAX_CONNECTIONS_PER_ADDRESS',
    kind: wholeNumber(0, 10_000_000),
    fallback: 0,
    meaning: 'connections of one address, IPv6 by /64; more are answered 429; 0 for no limit',
  },
  trustedProxies: {
    flag: 'trusted-proxy',
    field: 'trusted-proxies',
    env: 'OOO_TRUSTED_PROXIES',
    kind: PROXIES,
    fallback: [],
    meaning:
      'reverse proxy whose X-Forwarded-For is believed; may be repeated, or several divided by commas',
  },
  upgradesPerSecond: {
    flag: 'upgrades-per-second',
    env: 'OOO_UPGRADES_PER_SECOND',
    kind: wholeNumber(0, 10_000_000),
    fallback: 2000,
    meaning:
      'WebSocket handshakes of clients per second on average; more are refused with 503; 0 for no limit',
  },
  upgradeBurst: {
    flag: 'upgrade-burst',
    env: 'OOO_UPGRADE_BURST',
    kind: wholeNumber(1, 10_000_000),
    fallback: 10_000,
    meaning: 'handshakes that may come at once after a quiet time',
  },
  backlog: {
    flag: 'backlog',
    env: 'OOO_BACKLOG',
    kind: wholeNumber(1, 65_535),
    fallback: 4096,
    meaning: 'connections that may wait to be accepted; the system may allow fewer',
  },
  maxValueBytes: {
    flag: 'max-value-bytes',
    env: 'OOO_MAX_VALUE_BYTES',
    kind: wholeNumber(1024, 67_108_864),
    fallback: DEFAULT_MAX_VALUE_BYTES,
    meaning: 'largest value that is written, by whatever way it comes; the same on all nodes',
  },
}

/** What the server is given of sizes: a body that brings the largest value is taken too. */
export function sizesOf({
  maxValueBytes,
}: LimitsConfig): Required<Pick<ServerOptions, 'maxValueBytes' | 'maxBodyBytes'>> {
  return { maxValueBytes, maxBodyBytes: Math.max(maxValueBytes, DEFAULT_MAX_VALUE_BYTES) }
}

/** What the server is given. */
export function admissionOf(config: LimitsConfig): AdmissionOptions {
  const { maxConnections, reservedConnections, maxSubscribers } = config
  return {
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(reservedConnections === undefined ? {} : { reservedConnections }),
    ...(maxSubscribers === undefined ? {} : { maxSubscribers }),
    maxConnectionsPerAddress: config.maxConnectionsPerAddress,
    trustedProxies: config.trustedProxies,
    upgradesPerSecond: config.upgradesPerSecond,
    upgradeBurst: config.upgradeBurst,
    backlog: config.backlog,
  }
}
