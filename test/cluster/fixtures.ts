/** Records and limits shared by the tests of the cluster's machines. */

import type { ClusterLimits } from '../../cluster/config/options.ts'
import { DEFAULT_LIMITS } from '../../cluster/config/options.ts'
import type { Entry, Tombstone } from '../../src/core/data/entry.ts'

export const LIMITS: ClusterLimits = {
  ...DEFAULT_LIMITS,
  windowBytes: 1000,
  messageBytes: 400,
  messageRecords: 10,
  maxPushesInFlight: 2,
}

export function entry(key: string, stamp: number, data = '1'): Entry {
  return { kind: 'entry', key, created: BigInt(stamp), updated: 0n, origin: 'nodeA', data }
}

export function tombstone(key: string, stamp: number): Tombstone {
  return { kind: 'tombstone', key, deleted: BigInt(stamp), origin: 'nodeA' }
}
