/** What most kinds of rounds share: nodes are started, a load runs while something is done to them, and ends. */
import { SeededRandom } from '../../../support/seeded-random.ts'
import { Load, type LoadOptions } from '../load.ts'
import type { Round } from '../round.ts'

export const PLAIN_KEYS: readonly string[] = [
  'settings',
  ...Array.from({ length: 9 }, (_, i) => `items/${i}`),
]

/** `act` gets the time at which it should end, as `performance.now()` counts. */
export async function loaded(
  round: Round,
  act: (load: Load, untilMs: number) => Promise<void>,
  options: Partial<LoadOptions> = {},
): Promise<void> {
  const { world, record, seed, seconds } = round
  await Promise.all(world.nodes.map((node) => (node.isRunning ? undefined : node.start())))
  const load = new Load({
    record,
    random: SeededRandom.named(seed, 'load'),
    places: world.nodes,
    plainKeys: PLAIN_KEYS,
    lists: ['items/*'],
    ...options,
  })
  load.start()
  try {
    await act(load, performance.now() + seconds * 1000)
  } finally {
    for (const node of world.nodes) node.thaw()
    await load.stop()
  }
  if (load.skipped > 0) round.note(`${load.skipped} operations left out`)
}
