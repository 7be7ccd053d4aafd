/**
 * One round: a cluster of its own, a load, faults, healing, and the verdict. A round that fails keeps its
 * history and what its nodes said.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SeededRandom } from '../../support/seeded-random.ts'
import { check, type Verdict, VIOLATIONS } from './checker.ts'
import { HistoryRecord } from './record.ts'
import { recordLosses, settle } from './settle.ts'
import { World } from './world.ts'

/** What the machine offers; undefined where it does not. */
export interface Machine {
  readonly faketime: string | undefined
  /** URL of a Redis server. */
  readonly redis: string | undefined
}

export interface RoundOptions {
  readonly seed: number
  /** How long faults go on. */
  readonly seconds: number
  readonly machine: Machine
  /** Folder for the histories of failing rounds. */
  readonly keep: string
  /** Keeps those of good rounds, too. */
  readonly keepAll?: boolean
  /** Whether conditional writes under elections wait for a majority; `auto`: where the nodes know that. */
  readonly majority: 'auto' | 'on' | 'off'
}

/** What a kind of round works with. */
export interface Round extends RoundOptions {
  readonly world: World
  readonly record: HistoryRecord
  readonly random: SeededRandom
  /** Told in the table. */
  note(text: string): void
  /** What an answered conditional write must confirm to be owed: `local` (default), a number, or `majority`. */
  owesConfirmed(ack: string): void
}

export interface RoundKind {
  readonly name: string
  readonly about: string
  /** What the machine must offer. */
  readonly needs?: readonly (keyof Machine)[]
  /** Keys that the nodes replicate, where they are not the usual ones. */
  readonly keys?: readonly string[]
  /** Starts the nodes, loads and disturbs them, and ends with the load stopped; healing is done after it. */
  play(round: Round): Promise<void>
}

export interface RoundResult {
  readonly kind: string
  readonly seed: number
  readonly verdict: Verdict | undefined
  /** Milliseconds from healing until all were equal; undefined: never. */
  readonly equalMs: number | undefined
  /** Why the round itself failed. */
  readonly error: string | undefined
  /** Where the history is, of a round that failed. */
  readonly kept: string | undefined
  readonly notes: readonly string[]
}

export async function playRound(kind: RoundKind, options: RoundOptions): Promise<RoundResult> {
  const { seed, machine } = options
  const folder = mkdtempSync(join(tmpdir(), 'ooo-history-'))
  const record = new HistoryRecord()
  const world = new World({
    folder: join(folder, 'nodes'),
    record,
    faketime: machine.faketime,
    ...(kind.keys === undefined ? {} : { keys: kind.keys }),
  })
  const killAll = (): void => world.killNow()
  process.once('exit', killAll)
  const notes: string[] = []
  const owed = { conditionalAck: 'local' }
  const random = SeededRandom.named(seed, kind.name)
  const round: Round = {
    ...options,
    world,
    record,
    random,
    note: (text) => notes.push(text),
    owesConfirmed: (ack) => {
      owed.conditionalAck = ack
    },
  }
  let verdict: Verdict | undefined
  let error: string | undefined
  try {
    verdict = await judgedRound(kind, round, folder, owed)
  } catch (thrown) {
    error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
  } finally {
    await world.close()
    process.off('exit', killAll)
  }
  const isGood = verdict !== undefined && VIOLATIONS.every((name) => verdict.counts[name] === 0)
  const kept =
    isGood && options.keepAll !== true
      ? undefined
      : keepRound({ kind, round, folder, verdict, error })
  rmSync(folder, { recursive: true, force: true })
  return { kind: kind.name, seed, verdict, equalMs: equalAfter(record), error, kept, notes }
}

async function judgedRound(
  kind: RoundKind,
  round: Round,
  folder: string,
  owed: { readonly conditionalAck: string },
): Promise<Verdict> {
  const { world, record, seed } = round
  await kind.play(round)
  await world.heal()
  await settle(world)
  // First in the file, last to be known: what the nodes can confirm turns out while they run.
  record.lines.unshift({
    type: 'header',
    kind: kind.name,
    seed,
    nodes: world.nodes.map(({ name }) => name),
    ...owed,
  })
  await recordLosses(world, folder)
  return check(record.write(folder))
}

interface FailedRound {
  readonly kind: RoundKind
  readonly round: Round
  readonly folder: string
  readonly verdict: Verdict | undefined
  readonly error: string | undefined
}

/** The history, the verdict, and what the nodes said, in a folder that is named. */
function keepRound({ kind, round, verdict, error }: FailedRound): string {
  const kept = mkdtempSync(join(round.keep, `${kind.name}-${round.seed}-`))
  round.record.write(kept)
  writeFileSync(join(kept, 'verdict.json'), JSON.stringify({ verdict, error }, undefined, 2))
  for (const node of round.world.nodes) {
    writeFileSync(join(kept, `${node.name}.log`), node.process.output)
  }
  return kept
}

function equalAfter({ lines }: HistoryRecord): number | undefined {
  const timeOf = (type: string): unknown => {
    const line = lines.find((each) => each.type === type)
    return line !== undefined && 'time' in line ? line.time : undefined
  }
  const healed = timeOf('healed')
  const equal = timeOf('equal')
  if (typeof healed !== 'number' || typeof equal !== 'number') return undefined
  return Math.round((equal - healed) / 1000)
}
