/** The web UI, built from its sources into a folder of its own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

export interface BuiltUi {
  readonly directory: string
  remove(): Promise<void>
}

export async function buildUi(): Promise<BuiltUi> {
  const directory = await mkdtemp(join(tmpdir(), 'ooo-ui-'))
  const root = fileURLToPath(new URL('../../ui', import.meta.url))
  await build({ root, logLevel: 'warn', build: { outDir: directory, emptyOutDir: true } })
  return {
    directory,
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}
