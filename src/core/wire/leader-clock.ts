/**
 * What a leader goes by: its time, the stamps it takes, and how long it remembers deletions. Told
 * once right after the welcome, and again whenever the follower asks, which also tells the follower
 * how far its clock is from the leader's.
 */
import { type Fields, integer, stamp } from './fields.ts'

/** What do you go by now? */
export interface LeaderClockQuestion {
  readonly t: 'terms'
  /** Comes back with the answer; from 1, counting up. */
  readonly n: number
}

/** Stamps and times are nanoseconds since the Unix epoch. */
export interface LeaderClock {
  readonly t: 'terms'
  /** Number of the question; 0 right after the welcome. */
  readonly n: number
  /** The leader's clock. */
  readonly clock: bigint
  /** At least the clock, and no stamp that the leader gave out or followed is greater. */
  readonly greatest: bigint
  /** The greatest stamp the leader takes. */
  readonly latest: bigint
  /** Tombstones up to this stamp are removed once nobody needs them; 0 when none ever is. */
  readonly horizon: bigint
}

/** The message as it is spelled, before they become JSON. */
export function leaderClockFields(leaderClock: LeaderClock): Fields {
  const { clock, greatest, latest, horizon } = leaderClock
  return {
    ...leaderClock,
    clock: String(clock),
    greatest: String(greatest),
    latest: String(latest),
    horizon: String(horizon),
  }
}

/** @throws StateError `invalid_message` saying which field is wrong, as below. */
export function decodeLeaderClock(fields: Fields): LeaderClock {
  return {
    t: 'terms',
    n: integer(fields, 'n'),
    clock: stamp(fields.clock, 'clock'),
    greatest: stamp(fields.greatest, 'greatest'),
    latest: stamp(fields.latest, 'latest'),
    horizon: stamp(fields.horizon, 'horizon'),
  }
}

export function decodeLeaderClockQuestion(fields: Fields): LeaderClockQuestion {
  return { t: 'terms', n: integer(fields, 'n') }
}
