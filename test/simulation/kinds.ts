/** The kinds of histories: which nodes there are, and how often each step comes. */
import type { ScopeOptions } from '../../cluster/members/placement.ts'
import type { BusQuality } from './bus.ts'
import { concurrentWrites } from './concurrent.ts'
import type { NodePlan, StepName } from './history.ts'
import {
  awayVoter,
  clockAhead,
  JUMP_RETENTION_MS,
  jumpingClock,
  RESPELT_RETENTION_MS,
  respeltLeader,
  restoredNode,
  type Script,
  scaled,
  staleNode,
  wipedVoter,
} from './scripts.ts'

/** How often a step comes, relative to the others of its kind. */
export type Weights = Readonly<Partial<Record<StepName, number>>>

export interface Kind {
  readonly name: string
  readonly plans: readonly NodePlan[]
  readonly weights: Weights
  /** How far a clock may step, milliseconds. Default 1000. */
  readonly clockStepMs?: number
  /** Makes the steps, instead of `weights`. */
  readonly script?: Script
  /** Longest wait, milliseconds. Default 8000. */
  readonly longWaitMs?: number
  readonly tombstoneRetentionMs?: number
  /** See `History`. */
  readonly keepsDeletes?: true
  /** Keys that are written. Default `WRITABLE`. */
  readonly writable?: readonly string[]
  /** Greatest length that is added to values. Default: 0. */
  readonly largest?: number
  /** Default: no bus. */
  readonly bus?: BusQuality
}

export const KEYS: readonly ScopeOptions[] = [
  { path: 'settings' },
  { path: 'items/*' },
  { path: 'users/*/posts/*' },
]

export const WRITABLE: readonly string[] = [
  'settings',
  'items/a',
  'items/b',
  'items/c-1_x.y',
  'users/u/posts/p',
  'users/v/posts/q',
]

/** So few that decisions meet. */
const DECIDED: readonly string[] = ['settings', 'items/a']

/** One leader and two followers. */
export const STAR: readonly NodePlan[] = [
  { host: 'leader', keys: KEYS },
  { host: 'f1', keys: KEYS, follows: 'leader' },
  { host: 'f2', keys: KEYS, follows: 'leader' },
]

/** Edge below region below centre, and a second edge. */
export const TREE: readonly NodePlan[] = [
  { host: 'centre', keys: KEYS },
  { host: 'region', keys: KEYS, follows: 'centre' },
  { host: 'edge1', keys: KEYS, follows: 'region' },
  { host: 'edge2', keys: KEYS, follows: 'region' },
]

/** The same with short names, for a script that starts them. */
const CUT_OFF: readonly NodePlan[] = [
  { host: 'c', keys: KEYS, joins: true },
  { host: 'r', keys: KEYS, follows: 'c', joins: true },
  { host: 'e1', keys: KEYS, follows: 'r', joins: true },
  { host: 'e2', keys: KEYS, follows: 'r', joins: true },
]

/** Edge below region below centre. */
const BRANCH: readonly NodePlan[] = TREE.slice(0, 3)

/** The region leads the items itself; the centre has settings and posts only. */
const MIXED: readonly NodePlan[] = [
  { host: 'centre', keys: [{ path: 'settings' }, { path: 'users/*/posts/*' }] },
  {
    host: 'region',
    keys: [{ path: 'items/*', local: true }, { path: 'settings' }, { path: 'users/*/posts/*' }],
    follows: 'centre',
  },
  { host: 'edge1', keys: KEYS, follows: 'region' },
  { host: 'edge2', keys: KEYS, follows: 'region' },
]

/** Each of three nodes leads one scope and follows the others for theirs. */
const RING: readonly NodePlan[] = ['a', 'b', 'c'].map((host) => ({
  host,
  keys: KEYS.map(({ path }, i) => {
    const leader = ['a', 'b', 'c'][i] ?? 'a'
    return leader === host ? { path, local: true } : { path, clusterUrl: leader }
  }),
}))

/** `items/a` is led by one node, all other items by another. */
const OVERLAP: readonly NodePlan[] = ['a', 'b', 'c', 'd'].map((host) => ({
  host,
  keys: [
    host === 'b' ? { path: 'items/a', local: true } : { path: 'items/a', clusterUrl: 'b' },
    { path: 'items/*' },
    { path: 'users/u/posts/*' },
    { path: 'users/*/posts/*' },
  ],
  ...(host === 'a' ? {} : { follows: 'a' }),
}))

/** Three nodes of which a lease makes one the leader. */
const ELECTED: readonly NodePlan[] = ['a', 'b', 'c'].map((host) => ({
  host,
  keys: KEYS,
  elects: true,
}))

/** Five nodes of which a lease makes one the leader; three of them vote at first. */
const VOTING: readonly NodePlan[] = ['a', 'b', 'c', 'd', 'e'].map((host) => ({
  ...{ host, keys: KEYS, elects: true },
  voters: ['a', 'b', 'c'],
}))

/** As the star, and two followers that come later. */
const GROWING: readonly NodePlan[] = [
  ...STAR,
  { host: 'f3', keys: KEYS, follows: 'leader', joins: true },
  { host: 'f4', keys: KEYS, follows: 'f1', joins: true },
]

/** What every kind has. */
const CALM: Weights = {
  set: 28,
  push: 7,
  delete: 15,
  read: 5,
  wait: 25,
  cut: 6,
  heal: 6,
  start: 5,
  stop: 1.5,
  crash: 3,
  clock: 0.5,
}
const DISK_ERRORS: Weights = { ...CALM, diskErrors: 1.5 }
const POWER_CUTS: Weights = { ...CALM, blackout: 0.7, crashAfter: 2, start: 7 }
const LOST_DISKS: Weights = { ...POWER_CUTS, wipe: 1.2, diskErrors: 1 }
const BIT_ROT: Weights = { ...DISK_ERRORS, rot: 1.5 }
const BAD_DISKS: Weights = { ...BIT_ROT, diskErrors: 8, rot: 8, read: 12, start: 8 }
const DIVERGENCE: Weights = { ...CALM, stop: 4, start: 8, forget: 5 }
const BACKUPS: Weights = { ...POWER_CUTS, image: 5, restore: 3 }
const BAD_LINKS: Weights = { ...CALM, cut: 6, flap: 4, slow: 3, reset: 8 }
/** Lines that carry little before they break. */
const CUT_OFTEN: Weights = { ...CALM, set: 34, reset: 16, wait: 34, delete: 6 }
const LARGE = { largest: 3000 } as const
const MOVES: Weights = { ...CALM, lead: 2, reconfigure: 8 }
const ELECTIONS: Weights = { ...CALM, cut: 10, crash: 4, stop: 3, start: 9, wait: 30 }
const DECISIONS: Weights = { ...ELECTIONS, decide: 40, set: 10, delete: 4 }
const MEMBERS: Weights = { ...CALM, start: 8, leave: 0.7, wipe: 0.5 }
const WRONG_CLOCKS: Weights = { ...CALM, clock: 3, drift: 2, stop: 3, start: 7 }
/** Clocks that are minutes wrong and set right again, and links that fail for long. */
const DRIFTING: Weights = {
  ...CALM,
  set: 34,
  wait: 22,
  cut: 9,
  heal: 4,
  stop: 2,
  start: 5,
  clock: 5,
  setClock: 4,
}
const MOVED: Weights = { ...DRIFTING, follow: 4, reconfigure: 8 }
const RECONFIGURED: Weights = { ...DRIFTING, respell: 2, widen: 1, reconfigure: 8 }
/** Few enough that a majority of the disks mostly stays. */
const LOST_FEW: Weights = { blackout: 0.3, crashAfter: 1, start: 9, wipe: 0.8 }
const AWAY: Weights = { ...CALM, stop: 4, crash: 4, start: 4, clock: 0 }
/** Followers are given other names of their leader. */
const RESPELT: Weights = { ...AWAY, stop: 6, respell: 5, reconfigure: 4 }
const EXPIRING = { longWaitMs: 120_000, tombstoneRetentionMs: 30_000 } as const
const TEN_YEARS_MS = 10 * 365 * 86_400_000
/** One key, so that all writes meet. */
const ONE = ['items/a'] as const
/** Few keys, so that writes of one meet. */
const FEW = ['settings', 'items/a', 'items/b'] as const
/** Steps of 61 s to 150 s, with waits long enough for the time to get there. */
const MINUTES_WRONG = { writable: FEW, clockStepMs: 150_000, longWaitMs: 60_000 } as const

export const KINDS: readonly Kind[] = [
  { name: 'star, processes killed', plans: STAR, weights: CALM },
  { name: 'tree, processes killed', plans: TREE, weights: CALM },
  { name: 'star, disk errors', plans: STAR, weights: DISK_ERRORS },
  { name: 'tree, disk errors', plans: TREE, weights: DISK_ERRORS },
  { name: 'star, power cuts', plans: STAR, weights: POWER_CUTS },
  { name: 'tree, power cuts', plans: TREE, weights: POWER_CUTS },
  { name: 'star, power cuts, lost disks', plans: STAR, weights: LOST_DISKS },
  { name: 'tree, power cuts, lost disks', plans: TREE, weights: LOST_DISKS },
  { name: 'star, damaged records', plans: STAR, weights: BIT_ROT },
  { name: 'tree, damaged records', plans: TREE, weights: BIT_ROT },
  { name: 'star, damaged records, failing disks', plans: STAR, weights: BAD_DISKS },
  { name: 'star, restored backups', plans: STAR, weights: BACKUPS },
  { name: 'tree, restored backups', plans: TREE, weights: BACKUPS },
  { name: 'star, silent divergence', plans: STAR, weights: DIVERGENCE },
  { name: 'tree, silent divergence', plans: TREE, weights: DIVERGENCE },
  { name: 'star, deletes expire', plans: STAR, weights: AWAY, ...EXPIRING },
  { name: 'tree, deletes expire', plans: TREE, weights: AWAY, ...EXPIRING },
  { name: 'star, deletes expire, respelt leaders', plans: STAR, weights: RESPELT, ...EXPIRING },
  { name: 'tree, deletes expire, respelt leaders', plans: TREE, weights: RESPELT, ...EXPIRING },
  {
    name: 'star, deletes forgotten, a respelt leader',
    plans: STAR,
    weights: {},
    script: respeltLeader,
    tombstoneRetentionMs: RESPELT_RETENTION_MS,
  },
  {
    name: 'star, deletes forgotten, a restored node',
    plans: STAR,
    weights: {},
    script: restoredNode,
    keepsDeletes: true,
    tombstoneRetentionMs: RESPELT_RETENTION_MS,
  },
  { name: 'star, old format on disk', plans: STAR, weights: { ...POWER_CUTS, downgrade: 4 } },
  { name: 'star, bad links', plans: STAR, weights: BAD_LINKS },
  { name: 'tree, bad links', plans: TREE, weights: BAD_LINKS },
  { name: 'star, leader moves', plans: STAR, weights: MOVES },
  { name: 'tree, leader moves', plans: TREE, weights: MOVES },
  { name: 'elections', plans: ELECTED, weights: ELECTIONS },
  {
    name: 'elections, power cuts, bad links',
    plans: ELECTED,
    weights: { ...ELECTIONS, ...BAD_LINKS, ...POWER_CUTS },
  },
  {
    name: 'elections, deletes expire',
    plans: ELECTED,
    weights: { ...AWAY, cut: 10 },
    ...EXPIRING,
  },
  {
    name: 'elections, deletes expire, a clock that jumps',
    plans: ELECTED,
    weights: {},
    script: jumpingClock,
    tombstoneRetentionMs: JUMP_RETENTION_MS,
  },
  {
    name: 'elections, deletes expire, a voter away',
    plans: ELECTED,
    weights: {},
    script: awayVoter,
    keepsDeletes: true,
    tombstoneRetentionMs: RESPELT_RETENTION_MS,
  },
  { name: 'elections, decisions', plans: ELECTED, weights: DECISIONS, writable: DECIDED },
  {
    name: 'elections, decisions, power cuts, lost disks',
    plans: ELECTED,
    weights: { ...DECISIONS, ...LOST_FEW, cut: 8 },
    writable: DECIDED,
  },
  {
    name: 'elections, decisions, restored backups',
    plans: ELECTED,
    weights: { ...DECISIONS, image: 4, restore: 2 },
    writable: DECIDED,
  },
  {
    name: 'elections, decisions, voters change',
    plans: VOTING,
    weights: { ...DECISIONS, voter: 10 },
    writable: DECIDED,
  },
  {
    name: 'elections, decisions, clocks ahead',
    plans: ELECTED,
    weights: { ...DECISIONS, clock: 0, clockAhead: 4 },
    writable: DECIDED,
  },
  { name: 'elections, decisions, a stale node', plans: ELECTED, weights: {}, script: staleNode },
  { name: 'elections, decisions, a wiped voter', plans: ELECTED, weights: {}, script: wipedVoter },
  { name: 'elections, decisions, a clock ahead', plans: ELECTED, weights: {}, script: clockAhead },
  { name: 'elections, decisions, three to five', plans: VOTING, weights: {}, script: scaled },
  { name: 'growing and shrinking', plans: GROWING, weights: MEMBERS },
  { name: 'mixed roles', plans: MIXED, weights: { ...BAD_LINKS, ...POWER_CUTS } },
  { name: 'ring of leaders', plans: RING, weights: { ...BAD_LINKS, ...POWER_CUTS } },
  {
    name: 'overlapping scopes',
    plans: OVERLAP,
    weights: { ...CALM, reset: 2 },
    writable: WRITABLE.filter((key) => key !== 'settings'),
  },
  {
    name: 'star, wrong clocks',
    plans: STAR,
    weights: WRONG_CLOCKS,
    clockStepMs: TEN_YEARS_MS,
  },
  {
    name: 'tree, wrong clocks, power cuts',
    plans: TREE,
    weights: { ...WRONG_CLOCKS, ...POWER_CUTS, clock: 2 },
    clockStepMs: 100_000,
  },
  { name: 'branch, drifting', plans: BRANCH, weights: DRIFTING, ...MINUTES_WRONG, writable: ONE },
  {
    name: 'branch, drifting, moved',
    plans: BRANCH,
    weights: MOVED,
    ...MINUTES_WRONG,
    writable: ONE,
  },
  { name: 'star, drifting', plans: STAR, weights: DRIFTING, ...MINUTES_WRONG },
  { name: 'tree, drifting', plans: TREE, weights: DRIFTING, ...MINUTES_WRONG },
  { name: 'tree, drifting, moved', plans: TREE, weights: MOVED, ...MINUTES_WRONG },
  { name: 'tree, drifting, reconfigured', plans: TREE, weights: RECONFIGURED, ...MINUTES_WRONG },
  {
    name: 'tree, drifting, lost disks',
    plans: TREE,
    weights: { ...DRIFTING, wipe: 1.5, crashAfter: 1 },
    ...MINUTES_WRONG,
  },
  {
    name: 'tree, drifting, restored backups',
    plans: TREE,
    weights: { ...DRIFTING, image: 4, restore: 2 },
    ...MINUTES_WRONG,
  },
  {
    name: 'star, drifting, leader moves',
    plans: STAR,
    weights: { ...DRIFTING, lead: 2, reconfigure: 9 },
    ...MINUTES_WRONG,
  },
  {
    name: 'tree, drifting by years, moved',
    plans: TREE,
    weights: MOVED,
    writable: FEW,
    clockStepMs: TEN_YEARS_MS,
    longWaitMs: 60_000,
  },
  {
    name: 'tree, drifting, lossy bus',
    plans: TREE,
    weights: MOVED,
    ...MINUTES_WRONG,
    bus: 'bad',
  },
  { name: 'tree, concurrent', plans: CUT_OFF, weights: {}, script: concurrentWrites },
  { name: 'star, bus', plans: STAR, weights: { ...BAD_LINKS, ...POWER_CUTS }, bus: 'good' },
  { name: 'star, lossy bus', plans: STAR, weights: { ...BAD_LINKS, ...POWER_CUTS }, bus: 'bad' },
  { name: 'tree, lossy bus, lost disks', plans: TREE, weights: LOST_DISKS, bus: 'bad' },
  { name: 'star, large values', plans: STAR, weights: CUT_OFTEN, ...LARGE },
  { name: 'tree, large values', plans: TREE, weights: CUT_OFTEN, ...LARGE },
  {
    name: 'star, large values, power cuts, lost disks',
    plans: STAR,
    weights: { ...CUT_OFTEN, ...LOST_DISKS },
    ...LARGE,
  },
  {
    name: 'tree, large values, bad links, disk errors',
    plans: TREE,
    weights: { ...BAD_LINKS, diskErrors: 1 },
    ...LARGE,
  },
  { name: 'star, large values, lossy bus', plans: STAR, weights: BAD_LINKS, ...LARGE, bus: 'bad' },
  { name: 'elections, large values', plans: ELECTED, weights: ELECTIONS, ...LARGE },
]
