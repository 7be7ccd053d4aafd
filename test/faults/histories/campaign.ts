/** Rounds of different kinds, one after the other, until the time is over; what they found as a table. */
import { mkdirSync } from 'node:fs'
import { installWithApt } from '../../support/apt.ts'
import { findRedis, startRedisProgram } from '../../support/redis-program.ts'
import type { RunningService } from '../../support/services.ts'
import { VIOLATIONS } from './checker.ts'
import { KINDS } from './kinds.ts'
import {
  type Machine,
  playRound,
  type RoundKind,
  type RoundOptions,
  type RoundResult,
} from './round.ts'
import { findFaketime } from './wrong-clock.ts'

export interface CampaignOptions {
  readonly minutes: number
  readonly seed: number
  readonly kinds: readonly RoundKind[]
  /** How long the faults of a round go on. */
  readonly roundSeconds: number
  readonly keep: string
  readonly keepAll?: boolean
  readonly majority: RoundOptions['majority']
  /** Told of each round when it is over. */
  readonly onRound?: (result: RoundResult) => void
}

/** The kinds whose names are listed, divided by commas; without a name, all. */
export function kindsNamed(names: string | undefined): readonly RoundKind[] {
  if (names === undefined) return KINDS
  return names.split(',').map((name) => {
    const found = KINDS.find((kind) => kind.name === name)
    if (found !== undefined) return found
    throw new Error(
      `no kind is named ${name}; there are ${KINDS.map((kind) => kind.name).join(', ')}`,
    )
  })
}

/** Plays rounds until the minutes are over, and each kind once at least when there is time for it. */
export async function campaign(options: CampaignOptions): Promise<readonly RoundResult[]> {
  mkdirSync(options.keep, { recursive: true })
  const redis = await startRedis(options.kinds)
  const machine: Machine = { faketime: faketimeFor(options.kinds), redis: redis?.url }
  const results: RoundResult[] = []
  const end = performance.now() + options.minutes * 60_000
  try {
    let longestMs = 0
    for (let i = 0; i === 0 || performance.now() + longestMs < end; i++) {
      const kind = options.kinds[i % options.kinds.length]
      if (kind === undefined) break
      const began = performance.now()
      const seed = options.seed + Math.floor(i / options.kinds.length)
      const { keep, keepAll = false, majority, roundSeconds: seconds } = options
      const result = await playRound(kind, { seed, seconds, machine, keep, keepAll, majority })
      longestMs = Math.max(longestMs, performance.now() - began)
      results.push(result)
      options.onRound?.(result)
    }
  } finally {
    await redis?.end()
  }
  return results
}

export function isGood({ verdict, error }: RoundResult): boolean {
  if (verdict === undefined || error !== undefined) return false
  return VIOLATIONS.every((name) => verdict.counts[name] === 0)
}

async function startRedis(kinds: readonly RoundKind[]): Promise<RunningService | undefined> {
  if (!kinds.some(({ needs = [] }) => needs.includes('redis'))) return undefined
  const program = findRedis() ?? (installWithApt('redis-server') ? findRedis() : undefined)
  if (program === undefined)
    throw new Error('redis-server is needed (Debian: apt install redis-server)')
  return startRedisProgram(program)
}

function faketimeFor(kinds: readonly RoundKind[]): string | undefined {
  if (!kinds.some(({ needs = [] }) => needs.includes('faketime'))) return undefined
  const library = findFaketime()
  if (library === undefined) throw new Error('libfaketime is needed (Debian: apt install faketime)')
  return library
}
