/** Routes that are asked in the order in which they were added; the first that takes a request answers it. */
import type { Route } from '../contract/route.ts'
import { compileTemplate, type PathTemplate, type PathVariables } from './path-template.ts'

/** A route that takes a request, with what its path captured. */
export interface RouteMatch {
  readonly route: Route
  readonly variables: PathVariables
}

interface Row {
  readonly route: Route
  readonly template: PathTemplate
  readonly methods: ReadonlySet<string>
}

/** As a method: a WebSocket handshake. */
export type Asked = string | undefined
/** Among the methods of a route: every one. */
export const ANY_METHOD = '*'

export class Router {
  #rows: readonly Row[] = []

  /** Adds a route after those already there, also while serving. Returns what takes it out again. */
  add(route: Route, template: PathTemplate = compileTemplate(route.path)): () => void {
    const head = route.methods.includes('GET') ? ['HEAD'] : []
    const row = { route, template, methods: new Set([...route.methods, ...head]) }
    this.#rows = [...this.#rows, row]
    return () => {
      this.#rows = this.#rows.filter((other) => other !== row)
    }
  }

  /** The first route that takes it. */
  find(asked: Asked, path: string): RouteMatch | undefined {
    for (const { route, template, methods } of this.#rows) {
      const takes =
        asked === undefined
          ? route.upgrade !== undefined
          : methods.has(asked) || methods.has(ANY_METHOD)
      const variables = takes ? template.match(path) : undefined
      if (variables !== undefined) return { route, variables }
    }
    return undefined
  }

  /** Every route on `path`, whatever its methods. */
  at(path: string): Route[] {
    return this.#rows.flatMap(({ route, template }) =>
      template.match(path) === undefined ? [] : [route],
    )
  }

  list(): Route[] {
    return this.#rows.map(({ route }) => route)
  }
}
