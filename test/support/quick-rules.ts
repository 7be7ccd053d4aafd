/** What keeps the project `quick` quick, read from imports: of test files and of what they import in `test`. */
import { parseModule, type SourceFile, type SourceModule } from './architecture.ts'

/** Modules that open sockets, start processes and threads, or wait for the clock of the machine. */
const SLOW_MODULES: ReadonlySet<string> = new Set([
  ...['net', 'tls', 'dgram', 'http', 'https', 'http2'],
  ...['child_process', 'cluster', 'worker_threads', 'timers/promises'],
])
const SLOW_PACKAGES: ReadonlySet<string> = new Set([
  ...['ws', 'pg', 'ioredis', 'testcontainers', 'playwright-core'],
])

function isSlow(specifier: string): boolean {
  return SLOW_MODULES.has(specifier.replace(/^node:/, '')) || SLOW_PACKAGES.has(specifier)
}

/** Each slow module that a file reaches, with the way to it. `files` are all files of `test`. */
export function slowImports(starts: readonly string[], files: readonly SourceFile[]): string[] {
  const sources = new Map(files.map((file) => [file.path, file]))
  const parsed = new Map<string, SourceModule>()
  const moduleAt = (path: string): SourceModule | undefined => {
    const source = sources.get(path)
    if (source === undefined) return undefined
    const module = parsed.get(path) ?? parseModule(source)
    parsed.set(path, module)
    return module
  }
  return starts.flatMap((start) => slowImportsOf(start, moduleAt))
}

function slowImportsOf(
  start: string,
  moduleAt: (path: string) => SourceModule | undefined,
): string[] {
  const ways = new Map([[start, start]])
  const found: string[] = []
  // A map takes in what is added while it is walked through.
  for (const [path, way] of ways) {
    const module = moduleAt(path)
    for (const name of module?.packages.filter(isSlow) ?? []) found.push(`${way}: imports ${name}`)
    for (const target of module?.files ?? []) {
      if (!ways.has(target)) ways.set(target, `${way} → ${target}`)
    }
  }
  return found
}
