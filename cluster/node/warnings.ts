/** What people should look at of a node's links to its leaders, as sentences; no reason not to serve. */
import { UNKNOWN_LEADER } from '../../src/core/unknown-leader.ts'
import { refusalKind } from '../members/token.ts'
import type { LinkReport } from './monitor.ts'

/** A live follower that is this far behind is worth a sentence, milliseconds. */
const WORTH_TELLING_MS = 10_000

type ReportedLink = Pick<
  LinkReport,
  | 'url'
  | 'state'
  | 'lagRows'
  | 'lagMs'
  | 'outbox'
  | 'refused'
  | 'unproven'
  | 'lastError'
  | 'lastCheckMs'
>

/** One sentence at most per link; none while it is live and close behind, or has not been tried yet. */
export function linkWarnings(links: readonly ReportedLink[]): string[] {
  return links.flatMap((link) => describe(link) ?? [])
}

function describe(link: ReportedLink): string | undefined {
  const { url, state, lagRows, lagMs, outbox, refused, lastError, lastCheckMs } = link
  if (url === UNKNOWN_LEADER) {
    return outbox === 0 ? undefined : `${rows(outbox)} to be sent to whoever leads next`
  }
  if (state === 'live') {
    if (refused > 0)
      return `${rows(refused)} ${refused === 1 ? 'is' : 'are'} not replicated by ${url}`
    if (lagRows === 0 || (lagMs ?? 0) < WORTH_TELLING_MS) return describeUnproven(link)
    return `${rows(lagRows)} and ${seconds(lagMs)} behind ${url}`
  }
  if (state === 'comparing') return `comparing with ${url}: what it has may be missing here`
  if (state === 'catchingUp') return `catching up with ${url}: ${rows(lagRows)} behind`
  if (lastCheckMs === 0) return undefined
  const kind = refusalKind(lastError)
  if (kind !== undefined) {
    const what = kind === 'token' ? 'the cluster token of this node' : 'this node'
    return `${url} refuses ${what} (${lastError}); ${rows(outbox)} to be sent`
  }
  const since = lagMs === undefined ? '' : `, last heard ${seconds(lagMs)} ago`
  const why = lastError === undefined ? '' : ` (${lastError})`
  return `${url} is out of reach${since}${why}; ${rows(outbox)} to be sent`
}

function describeUnproven({ url, unproven }: ReportedLink): string | undefined {
  if (unproven === 0) return undefined
  const entries = unproven === 1 ? '1 entry' : `${unproven} entries`
  return `${entries} went to ${url}, which may have deleted what it did not know: deletes of that time are forgotten; where its disk was lost that is as it should be`
}

function rows(count: number): string {
  return `${count} change${count === 1 ? '' : 's'}`
}

function seconds(ms: number | undefined): string {
  return `${Math.round((ms ?? 0) / 1000)} s`
}
