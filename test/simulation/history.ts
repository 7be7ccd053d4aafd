/**
 * What happens to a cluster, as data: the nodes, and the steps one after the other. A history is
 * generated from a seed and then played, so it can be cut down, kept in a file and played again.
 */
import type { ScopeOptions } from '../../cluster/members/placement.ts'
import type { Durability } from '../../src/core/ports/storage-adapter.ts'
import type { BusQuality } from './bus.ts'

/** A node and what it replicates from whom. */
export interface NodePlan {
  readonly host: string
  readonly keys: readonly ScopeOptions[]
  /** Host of the leader of what `keys` gives to nobody else; undefined for the node at the top. */
  readonly follows?: string
  /** Bytes of records kept in memory; `all` keeps everything. Default: drawn by the world. */
  readonly cacheBytes?: number | 'all'
  /** True: it leads or follows as a lease has it. */
  readonly elects?: boolean
  /** Names of those who vote first. Default: the nodes that elect first. */
  readonly voters?: readonly string[]
  /** True: it is not there at the beginning; its first `start` lets it join. */
  readonly joins?: boolean
}

/** One step. Steps that make no sense when they come (a crash of a node that is down) do nothing. */
export type Step =
  /** Writes are not waited for; `n` makes the data of each unique, `size` is added to its length. */
  | { t: 'set'; node: string; key: string; n: number; size?: number; durability?: Durability }
  | { t: 'push'; node: string; key: string; n: number; durability?: Durability }
  | { t: 'delete'; node: string; key: string; durability?: Durability }
  /** A conditional write: replaces what the node has of the key. */
  | { t: 'decide'; node: string; key: string; n: number }
  /** The leader is asked to make the node a voter, or none any more. */
  | { t: 'voter'; node: string; how: 'add' | 'remove' }
  /** Reads a key or glob and compares with what subscribers were told up to that commit. */
  | { t: 'read'; node: string; key: string }
  | { t: 'wait'; ms: number }
  /** From one host to another, in that direction only. */
  | { t: 'cut'; from: string; to: string }
  | { t: 'heal' }
  /** The path fails and heals, again and again, every `ms`. */
  | { t: 'flap'; from: string; to: string; times: number; ms: number }
  /** The path takes so much longer, until it is healed. */
  | { t: 'slow'; from: string; to: string; ms: number }
  /** Connections between two hosts break; what is on its way is lost. */
  | { t: 'reset'; from: string; to: string }
  | { t: 'start'; node: string }
  | { t: 'stop'; node: string }
  /** The process dies; `lost` (0 to 1) of the batches not synced are lost with it. */
  | { t: 'crash'; node: string; lost: number }
  /** As `crash`, once so many more batches have been written. */
  | { t: 'crashAfter'; node: string; batches: number; lost: number }
  /** Every node at once, each losing that part of what it had not synced. */
  | { t: 'blackout'; lost: number }
  /** So many of the next batches fail, as on a full disk. */
  | { t: 'diskErrors'; node: string; batches: number }
  /** The process dies and the disk comes back empty. */
  | { t: 'wipe'; node: string }
  /** A backup of the disk is taken. */
  | { t: 'image'; node: string }
  /** The disk goes back to the backup, under a new epoch. */
  | { t: 'restore'; node: string }
  /** The disk comes back as the first release wrote it. */
  | { t: 'downgrade'; node: string }
  /** One bit of a record on disk changes; `which` (0 to 1) tells the record. */
  | { t: 'rot'; node: string; which: number }
  /** A record vanishes from the disk of a process that is down, without a trace. */
  | { t: 'forget'; node: string; which: number }
  /** The wall clock steps, milliseconds. */
  | { t: 'clock'; node: string; ms: number }
  /** From now on `@1` names the node that leads, `@2` and so on the others. */
  | { t: 'roles' }
  /** No message between the node and any other comes through; what keeps the lease is reached. */
  | { t: 'isolate'; node: string }
  /** The node does not reach what keeps the lease, until all is healed. */
  | { t: 'freeze'; node: string }
  /** The wall clock is set to so many milliseconds ahead of the right time. */
  | { t: 'clockAhead'; node: string; ms: number }
  /** The wall clock runs too fast by so many parts in a million. */
  | { t: 'drift'; node: string; ppm: number }
  /** The wall clock is right from now on. */
  | { t: 'setClock'; node: string }
  /** From now on `node` is the top; each node learns it when it starts next. */
  | { t: 'lead'; node: string }
  /** From now on `node` follows `leader`, unless that would be a circle; it learns it when it starts next. */
  | { t: 'follow'; node: string; leader: string }
  /** From now on `node` spells the address of its leader in another way; it learns it when it starts next. */
  | { t: 'respell'; node: string }
  /** From now on all nodes replicate one scope more; each learns it when it starts next. */
  | { t: 'widen' }
  /** Ends the process and starts it with the configuration of now. */
  | { t: 'reconfigure'; node: string; clean: boolean }
  /** Goes for good, with what it has not shared. */
  | { t: 'leave'; node: string }

export type StepName = Step['t']

export interface History {
  readonly kind: string
  readonly seed: number
  /** Seed of what is not told by steps: delays of messages and of the disk, jitter. */
  readonly noise: number
  readonly plans: readonly NodePlan[]
  readonly steps: readonly Step[]
  /** How long tombstones are kept, milliseconds of virtual time. Default: longer than the history. */
  readonly tombstoneRetentionMs?: number
  /** What it takes from disks brings back nothing that the top has deleted. Default: it may. */
  readonly keepsDeletes?: true
  /** The bus that all nodes are on. Default: there is none. */
  readonly bus?: BusQuality
}

/** A step as one line for people. */
export function tellStep(step: Step): string {
  const { t, ...rest } = step
  const fields = Object.entries(rest).map(([name, value]) => `${name}=${value}`)
  return [t.padEnd(11), ...fields].join(' ').trimEnd()
}

/** The whole history, one line per node and step. */
export function tellHistory({ kind, seed, noise, plans, steps }: History): string {
  const nodes = plans.map(
    ({ host, follows, joins }) =>
      `  ${host}${follows === undefined ? ' leads' : ` follows ${follows}`}${joins === true ? ', joins later' : ''}`,
  )
  const lines = steps.map((step, i) => `  ${String(i + 1).padStart(3)}. ${tellStep(step)}`)
  return [`${kind}, seed ${seed}, noise ${noise}`, ...nodes, ...lines].join('\n')
}
