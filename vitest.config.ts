import type { ViteUserConfig } from 'vitest/config'

/**
 * Which test files belong to which project, by folder; `*` stands for the files of `test` itself.
 * Every file has to be in exactly one: `test/quick/projects.test.ts` checks it.
 *
 * - `quick`: no socket, no process, no thread, no waiting for the clock of the machine.
 *   `npm run test:quick` runs it; `test/support/shut-off.ts` makes it keep to that.
 * - `server`: one node, its store and its clients.
 * - `cluster`: several nodes in this process, and the simulation.
 * - `system`: the built package, its processes, databases, browsers and documents.
 * - `containers`: the image.
 */
export const PROJECTS: Readonly<Record<string, readonly string[]>> = {
  quick: ['quick'],
  server: ['server', 'client', 'backup', 'regressions', 'conformance'],
  cluster: ['cluster', 'compat', 'simulation'],
  system: [
    '*',
    'cli',
    'e2e',
    'edge',
    'faults',
    'fuzz',
    'k8s',
    'postgres',
    'storage',
    'support',
    'ui',
  ],
  containers: ['containers'],
}

/** The patterns of one project. */
export function testsOf(project: string): string[] {
  return (PROJECTS[project] ?? []).map((folder) =>
    folder === '*' ? 'test/*.test.ts' : `test/${folder}/**/*.test.ts`,
  )
}

/** Its files share the modules that they load, since loading took longer than testing. */
const QUICK = { isolate: false, setupFiles: ['test/support/shut-off.ts'] }

const config: ViteUserConfig = {
  test: {
    maxWorkers: 2,
    projects: Object.keys(PROJECTS).map((name) => ({
      test: {
        name,
        include: testsOf(name),
        testTimeout: 120_000,
        hookTimeout: 120_000,
        retry: 0,
        ...(name === 'quick' ? QUICK : {}),
      },
    })),
  },
}

export default config
