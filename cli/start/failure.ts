/** Says in plain words why a node did not start, and what to do about it. */
import { errorText, isStateError } from '../../src/core/errors.ts'
import type { ServeConfig } from '../settings/config.ts'

/** One line for people about an error that `open` of a server threw. */
export function explainStartFailure(
  error: unknown,
  { host, port, data, postgres }: Pick<ServeConfig, 'host' | 'port' | 'data' | 'postgres'>,
): string {
  // The codes below are of this node's own address; those of the database's mean something else.
  const ofDatabase = postgres !== undefined && isOfStorage(error)
  const codes = ofDatabase ? [] : errorChain(error).map(errorCode)
  if (codes.includes('EADDRINUSE')) {
    return `port ${port} on ${host} is taken by another process; choose another with --port`
  }
  if (codes.includes('EACCES') && port > 0 && port < 1024) {
    return `port ${port} needs special rights; choose one above 1023 with --port`
  }
  if (codes.includes('EADDRNOTAVAIL') || codes.includes('ENOTFOUND')) {
    return `${host} is no address of this machine; choose another with --host`
  }
  if (ofDatabase && isStateError(error, 'in_use')) {
    return `${error.message}; stop that, or choose other rows with --postgres-namespace`
  }
  if (isStateError(error, 'in_use')) {
    return `the data folder ${data} is used by another process; stop that, or choose another with --data`
  }
  return errorChain(error)
    .map(errorText)
    .filter(isNews)
    .join(': ')
    .replace(/^ooo: /, '')
}

function isOfStorage(error: unknown): boolean {
  return errorChain(error).some(
    (link) => isStateError(link) && /^(postgres|storage): /.test(link.message),
  )
}

/** An error and its causes, outermost first. */
function errorChain(error: unknown): unknown[] {
  const chain: unknown[] = []
  for (let link = error; link !== undefined && chain.length < 10; ) {
    chain.push(link)
    link = link instanceof Error ? link.cause : undefined
  }
  return chain
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** Leaves out a cause whose text an outer message holds already. */
function isNews(text: string, position: number, all: readonly string[]): boolean {
  return !all.slice(0, position).some((outer) => outer.includes(text))
}
