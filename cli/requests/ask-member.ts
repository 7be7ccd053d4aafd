/** What the commands about a cluster ask a node of it: to tell something, or to change it. */
import { errorText, StateError } from '../../src/core/errors.ts'
import { TOKEN_HEADER } from '../../src/core/wire/protocol.ts'

export interface MemberPlace {
  /** Origin, without a slash at the end. */
  readonly url: string
  readonly clusterToken: string | undefined
}

export interface MemberQuestion {
  readonly path: string
  /** Sent as JSON; undefined: nothing is to be changed. */
  readonly change: unknown
  readonly timeoutMs: number
  /** What it means when the node has no such path. */
  readonly missing: string
}

/** The parsed answer. @throws StateError what the node answered, or `unreachable`. */
export async function askMember(
  { url, clusterToken }: MemberPlace,
  { path, change, timeoutMs, missing }: MemberQuestion,
): Promise<unknown> {
  const token: Record<string, string> = clusterToken ? { [TOKEN_HEADER]: clusterToken } : {}
  let status: number
  let body: string
  try {
    const response = await fetch(`${url}${path}`, {
      ...(change === undefined ? {} : { method: 'POST', body: JSON.stringify(change) }),
      headers: token,
      signal: AbortSignal.timeout(timeoutMs),
    })
    status = response.status
    body = (await response.text()).trim()
  } catch (cause) {
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
    throw new StateError('unreachable', `${url}: ${errorText(reason)}`, { cause })
  }
  if (status === 200) return JSON.parse(body) as unknown
  if (status === 401) {
    const advice = 'give --cluster-token-file or OOO_CLUSTER_TOKEN'
    throw new StateError('unauthorized', `${url}: ${body}; ${advice}`)
  }
  if (status === 404) throw new StateError('not_found', missing)
  if (status === 400) throw new StateError('invalid_option', body)
  throw new StateError('unreachable', `${url}: status ${status}: ${body}`)
}
