/** Disks that are lost, nodes restored from older backups, and older backups merged into running nodes. */
import { runCli } from '../../../support/cli-process.ts'
import { perform } from '../client.ts'
import { allGood, badLink, disturb, type Fault, killed, lasts, loseDisk } from '../faults.ts'
import type { Load } from '../load.ts'
import type { Round, RoundKind } from '../round.ts'
import type { Backup, Member } from '../world.ts'
import { loaded } from './loaded.ts'

/** Clients that only watch; their numbers are above those of the load. */
const FIRST_WITNESS = 1000

export const RESTORE: RoundKind = {
  name: 'restore',
  about: 'lost disks and restored backups',
  async play(round) {
    const { world } = round
    const leader = await world.add('a')
    for (const name of ['b', 'c']) await (await world.add(name)).follow(leader)
    await loaded(round, async (load, untilMs) => {
      const backups = new Backups(round, load)
      const { taken, restored, merged, lost } = backups
      const faults = [taken, taken, restored, restored, merged, lost, badLink, killed, allGood]
      await backups.take(leader)
      await disturb(round, faults, untilMs)
    })
  },
}

/** The backups of one round, and what is done with them. */
class Backups {
  readonly #round: Round
  readonly #load: Load
  readonly #taken: { readonly node: Member; readonly backup: Backup }[] = []

  constructor(round: Round, load: Load) {
    this.#round = round
    this.#load = load
  }

  async take(node: Member): Promise<void> {
    const backup = await this.#round.world.backup(node)
    if (backup !== undefined) this.#taken.push({ node, backup })
  }

  readonly taken: Fault = async ({ world, random }) => {
    await this.take(random.pick(world.nodes))
    await lasts(random, 1000)
  }

  readonly restored: Fault = async ({ random }) => {
    const { node, backup } = random.pick(this.#taken)
    await this.#withoutDecisions(node, async () => {
      await this.#witness(node)
      await node.kill()
      await node.restore(backup)
      await node.start()
    })
    await lasts(random, 1000)
  }

  /** Of any node into any other: what is newer there stays. */
  readonly merged: Fault = async ({ world, record, random }) => {
    const { backup } = random.pick(this.#taken)
    const node = random.pick(world.nodes)
    record.event('merge', node.name, { backup: backup.id })
    const { code, stderr } = await runCli(['restore', backup.file, '--url', node.url])
    if (code !== 0) throw new Error(`merging a backup into ${node.name} failed: ${stderr}`)
  }

  readonly lost: Fault = async ({ world, random }) => {
    const node = random.pick(world.nodes)
    await this.#withoutDecisions(node, async () => {
      await this.#witness(node)
      await loseDisk(node)
    })
    await lasts(random, 1000)
  }

  /** Reads at the others what is about to be lost here: what they show is owed. */
  async #witness(node: Member): Promise<void> {
    const others = this.#round.world.nodes.filter((other) => other !== node && other.isRunning)
    const { record } = this.#round
    const keys = new Set(record.operations().map(({ key }) => key ?? 'settings'))
    const read = async (other: Member, client: number): Promise<void> => {
      for (const key of keys) await perform(record, client, other, { op: 'read', key })
    }
    await Promise.all(others.map((other, i) => read(other, FIRST_WITNESS + i)))
  }

  /** A leader that has lost what it decided may decide it again: its keys are not written any more. */
  async #withoutDecisions(node: Member, act: () => Promise<void>): Promise<void> {
    if (node.leader !== undefined) return await act()
    await this.#load.pauseConditional()
    await act()
    this.#load.resumeConditional()
  }
}
