/**
 * What an elected leader and those who follow it by the same lease say of decisions; protocol 3 only.
 *
 * | message | sender   | when                                        | effect                                      |
 * |---------|----------|---------------------------------------------|---------------------------------------------|
 * | `grant` | leader   | right after the welcome; when it has changed | the follower stores number and list, or drops the stream when it took part for a greater number |
 * | `vote`  | follower | once that is stored; when it has changed     | counted by the leader                       |
 */

import { decodeVoterList, encodeVoterList, MAX_VOTER_NAME, type VoterList } from '../voter-list.ts'
import { type Fields, integer, stamp, string } from './fields.ts'
import { type InStepPlace, readPlaces } from './known.ts'

/** The first protocol of the stream that has these messages. */
export const VOTING_PROTOCOL = 3

/** Under which grant the leader leads. */
export interface Grant {
  readonly t: 'grant'
  /** Fencing number. */
  readonly n: number
  /** The leader holds what a majority of the voters held, and decides. */
  readonly decides: boolean
  /** `voters` is being founded: who stores it votes by it, whatever its disk was. */
  readonly founds: boolean
  /** The latest list the leader knows; undefined: none. */
  readonly voters: VoterList | undefined
  /** Another node goes by the name of the one that is told: it is told to people, and changes nothing else. */
  readonly isTwin?: true
  /**
   * What the leader was in step with before this grant, while it would give the lease to a node that finds that it
   * has missed deletes. Absent: it decides, it would not, or it is of an earlier build.
   */
  readonly places?: readonly InStepPlace[]
}

/** How a node takes part in a grant. */
export interface Vote {
  readonly t: 'vote'
  readonly n: number
  /** By which the list of voters knows the node. */
  readonly name: string
  /** "You hold all I held" when I first took part in `n`. */
  readonly held: boolean
  /** The disk of the node is the one on which it voted before, or was refilled by a leader that decides. */
  readonly whole: boolean
  /** What the node acknowledges survives the end of its process. */
  readonly durable: boolean
  /** Records of the node that the leader refused, for which it does not say `held`. */
  readonly refused: number
  /** The list that the node has stored; undefined: none. */
  readonly voters: VoterList | undefined
  /** The greatest ceiling of earlier leaders that the node has heard of, nanoseconds. */
  readonly ceiling: bigint
  /** The leader has missed deletes that this node knows of: nothing is taken from it. Default: no. */
  readonly missed?: true
}

/** The message as it is spelled, before it becomes JSON. */
export function votingFields(message: Grant | Vote): Fields {
  const voters = message.voters === undefined ? '' : encodeVoterList(message.voters)
  if (message.t === 'grant') {
    const { isTwin, ...grant } = message
    return { ...grant, voters, ...(isTwin === undefined ? {} : { twin: true }) }
  }
  return { ...message, voters, ceiling: String(message.ceiling) }
}

/** @throws StateError `invalid_message` saying which field is wrong, as below. */
export function decodeGrant(fields: Fields): Grant {
  return {
    t: 'grant',
    n: integer(fields, 'n'),
    decides: fields.decides === true,
    founds: fields.founds === true,
    voters: decodeVoterList(string(fields, 'voters', MAX_LIST_TEXT)),
    ...(fields.twin === true ? { isTwin: true } : {}),
    ...(fields.places === undefined ? {} : { places: readPlaces(fields, 'places') }),
  }
}

export function decodeVote(fields: Fields): Vote {
  return {
    t: 'vote',
    n: integer(fields, 'n'),
    name: string(fields, 'name', MAX_VOTER_NAME),
    held: fields.held === true,
    whole: fields.whole === true,
    durable: fields.durable === true,
    refused: integer(fields, 'refused'),
    voters: decodeVoterList(string(fields, 'voters', MAX_LIST_TEXT)),
    ceiling: stamp(fields.ceiling, 'ceiling'),
    ...(fields.missed === true ? { missed: true } : {}),
  }
}

/** Longest text of a list, UTF-16 units. */
const MAX_LIST_TEXT = 16_384
