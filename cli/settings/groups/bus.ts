/** The settings of `ooo serve` about the bus between leaders and followers. */
import type { Bus } from '../../../src/fanout/bus.ts'
import { loadTrustedCas } from '../../../src/server/contract/tls.ts'
import { type Kind, named, type SettingsTable, TEXT } from '../reading/setting.ts'

export interface BusConfig {
  /** May hold a password. undefined: there is no bus. */
  readonly redis: string | undefined
  /** File of authorities, trusted beside the system's. */
  readonly redisCa: string | undefined
}

const REDIS_URL: Kind<string | undefined> = {
  placeholder: 'URL',
  allowed:
    'a Redis such as redis://:password@10.0.0.1:6379, rediss://, redis+sentinel://h1,h2/name or redis+cluster://h1,h2',
  parse: (text) => (/^rediss?(\+(sentinel|cluster))?:\/\/\S+$/.test(text) ? text : undefined),
}

export const BUS_SETTINGS: SettingsTable<BusConfig> = {
  redis: {
    flag: 'redis',
    env: 'OOO_REDIS_URL',
    kind: REDIS_URL,
    fallback: undefined,
    meaning: 'Redis or Valkey that carries live changes to followers; all nodes name the same',
    secret: true,
  },
  redisCa: {
    flag: 'redis-ca',
    env: 'OOO_REDIS_CA',
    kind: named(TEXT, 'FILE'),
    fallback: undefined,
    meaning: 'authority to trust beside the known ones for rediss://, PEM',
  },
}

/**
 * The bus of a node, for the options of its cluster.
 * @throws StateError `invalid_option` saying what is wrong with the URL or the file.
 */
export async function busOf({ redis, redisCa }: BusConfig): Promise<{ readonly bus?: Bus }> {
  if (redis === undefined) return {}
  const ca = redisCa === undefined ? {} : { ca: await loadTrustedCas([redisCa]) }
  // Nodes without a bus do without the library too.
  const { redisBus } = await import('../../../cluster/bus/redis.ts')
  return { bus: redisBus({ url: redis, ...ca }) }
}
