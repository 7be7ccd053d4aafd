/** The configuration of one node, as the command line, the environment and a file give it. */

import type { HostPort } from '../../src/core/host-port.ts'
import type { Durability } from '../../src/core/ports/storage-adapter.ts'
import type { LogLevel } from '../terminal/console-logger.ts'
import type { BusConfig } from './groups/bus.ts'
import type { ElectionConfig } from './groups/election.ts'
import type { LimitsConfig } from './groups/limits.ts'
import type { MembersConfig } from './groups/members.ts'
import type { MemoryConfig } from './groups/memory.ts'
import type { PageConfig } from './groups/page.ts'
import type { ProxyConfig } from './groups/proxy.ts'
import type { TableScopes } from './groups/table-scopes.ts'
import type { CacheSize } from './reading/setting.ts'

/** What `ooo serve` runs on. */
export interface ServeConfig
  extends BusConfig,
    ElectionConfig,
    ProxyConfig,
    MembersConfig,
    LimitsConfig,
    MemoryConfig,
    PageConfig {
  readonly host: string
  /** Whether everybody who reaches the node may read and write. */
  readonly open: boolean
  /** 0 takes any free port. */
  readonly port: number
  /** undefined: that of the machine. */
  readonly name: string | undefined
  /** Folder of the LevelDB database. Unused with `memory`. */
  readonly data: string
  readonly memory: boolean
  /** Database to keep the data in. undefined: in the folder, or in memory. */
  readonly postgres: string | undefined
  /** Whose rows in the database these are. undefined: the name of the node. */
  readonly postgresNamespace: string | undefined
  /** From key or glob to the table it is shared through; empty: none is. */
  readonly postgresTables: TableScopes
  /** undefined: the database of `postgres`. */
  readonly postgresTablesUrl: string | undefined
  /** undefined: the storage's own default. */
  readonly durability: Durability | undefined
  /** Bytes of records kept in memory, or all of them. */
  readonly cache: CacheSize
  /** Processes that hold subscribers' connections. */
  readonly workers: number
  readonly static: boolean
  readonly keys: readonly string[]
  /** undefined: this node leads. */
  readonly clusterUrl: string | undefined
  readonly nodesKey: string
  readonly advertise: HostPort | undefined
  readonly clusterToken: string | undefined
  /** Whether nodes of other machines may join without a token. */
  readonly openCluster: boolean
  /** Milliseconds. */
  readonly maxClockDrift: number
  /** Milliseconds; 0: forever. */
  readonly tombstoneRetention: number
  /** undefined: plain HTTP. */
  readonly tlsCert: string | undefined
  readonly tlsKey: string | undefined
  /** Trusted beside the system's authorities when this node dials its leader. */
  readonly tlsCa: string | undefined
  readonly config: string | undefined
  readonly logLevel: LogLevel
}
