/**
 * Who votes: the list of nodes of which a majority says that an elected leader holds all they held. It
 * changes one name at a time. While a change is under way the list names the voters before it too, and
 * whatever needs a majority needs one of both (Ongaro, "Consensus: Bridging Theory and Practice", 2014,
 * chapter 4): any two majorities of neighbouring lists have a voter in common.
 */
import { StateError } from './errors.ts'

export interface VoterList {
  /** Names, ascending; one at least. */
  readonly voters: readonly string[]
  /** Fencing number of the grant under which the list was made. */
  readonly lease: number
  /** How many lists there were before it, from 1. */
  readonly change: number
  /** The voters before, while the change is not done. */
  readonly before?: readonly string[]
  /** The first list, while it is being agreed on: nothing was decided by it. */
  readonly isFounding?: true
  /** Nodes that join may become voters without being added by hand. */
  readonly isOpen?: true
}

/** Most voters in a list: each of them is waited for by somebody. */
export const MAX_VOTERS = 15
/** Longest name of a voter, UTF-16 units. */
export const MAX_VOTER_NAME = 200

/** What names of voters are made of. */
export const VOTER_NAME_RULE = 'letters, digits, dots, colons, - and _, at most 200'

export function isVoterName(name: string): boolean {
  return name.length <= MAX_VOTER_NAME && /^[\w.:-]+$/.test(name)
}

/** Whether `a` was made after `b`; a list that is done is later than the same one before. */
export function isLaterList(a: VoterList, b: VoterList | undefined): boolean {
  if (b === undefined) return true
  if (a.lease !== b.lease) return a.lease > b.lease
  if (a.change !== b.change) return a.change > b.change
  return isDone(a) && !isDone(b)
}

function isDone({ before, isFounding }: VoterList): boolean {
  return before === undefined && isFounding === undefined
}

/** Whether those of whom `has` holds are a majority of the list, and of the one before while it changes. */
export function isMajority(list: VoterList, has: (name: string) => boolean): boolean {
  return [list.voters, list.before ?? list.voters].every(
    (names) => names.filter(has).length * 2 > names.length,
  )
}

/** Everybody who is in the list, or was before the change that is under way. */
export function votersOf({ voters, before = [] }: VoterList): readonly string[] {
  return [...new Set([...voters, ...before])].sort()
}

export function encodeVoterList(list: VoterList): string {
  const { voters, lease, change, before, isFounding, isOpen } = list
  return JSON.stringify({
    lease,
    change,
    voters,
    ...(before === undefined ? {} : { before }),
    ...(isFounding === undefined ? {} : { founding: true }),
    ...(isOpen === undefined ? {} : { open: true }),
  })
}

/** undefined for an empty text. @throws StateError `invalid_message` when it is no list of voters. */
export function decodeVoterList(text: string): VoterList | undefined {
  if (text === '') return undefined
  let fields: Readonly<Record<string, unknown>> | undefined
  try {
    fields = JSON.parse(text) as Readonly<Record<string, unknown>>
  } catch {
    fields = undefined
  }
  const { lease, change, voters, before, founding, open } = fields ?? {}
  const isRight =
    isCount(lease) &&
    isCount(change) &&
    isNames(voters) &&
    (before === undefined || isNames(before))
  if (!isRight) {
    throw new StateError('invalid_message', `voters: ${text.slice(0, 80)} is no list of voters`)
  }
  return {
    lease,
    change,
    voters,
    ...(before === undefined ? {} : { before }),
    ...(founding === true ? { isFounding: true } : {}),
    ...(open === true ? { isOpen: true } : {}),
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isNames(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_VOTERS) return false
  return value.every(
    (name) => typeof name === 'string' && name !== '' && name.length <= MAX_VOTER_NAME,
  )
}
