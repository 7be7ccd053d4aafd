/** Histories that failed once. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { History } from './history.ts'

/** A history that failed once: as its seed, or as it was cut down. */
export interface Kept {
  readonly note: string
  readonly kind: string
  readonly seed: number
  readonly history?: History
}

export function readCorpus(): readonly Kept[] {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'corpus.json'), 'utf8'))
}
