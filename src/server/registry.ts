/** What a server's owner has registered. It outlives `close` and `open`, and may grow while serving. */
import { Filters } from '../store/filters.ts'

export interface Registry {
  readonly filters: Filters
}

export function createRegistry(): Registry {
  return { filters: new Filters() }
}
