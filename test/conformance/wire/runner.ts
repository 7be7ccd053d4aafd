/** Runs cases against a target and says which rows of the wire format it keeps. */
import type { WireCase } from './case.ts'
import { keyCases } from './section-1-keys.ts'
import { metaCases } from './section-2-meta.ts'
import { headerCases } from './section-3-headers.ts'
import { limitsCases } from './section-3-limits.ts'
import { mergeCases } from './section-3-merge.ts'
import { restCases } from './section-3-rest.ts'
import { staticCases } from './section-3-static.ts'
import { eventCases } from './section-4-events.ts'
import { frameCases } from './section-4-frames.ts'
import { handshakeCases } from './section-4-handshake.ts'
import { socketCases } from './section-4-sockets.ts'
import { filterErrorCases } from './section-5-errors.ts'
import { filterCases } from './section-5-filters.ts'
import { limitCases } from './section-5-limit.ts'
import { assetCases } from './section-6-assets.ts'
import { describedCases } from './section-6-described.ts'
import { managementCases } from './section-6-management.ts'
import { endpointCases } from './section-7-endpoints.ts'
import { proxyCases } from './section-8-proxy.ts'
import { shutdownCases } from './section-11-shutdown.ts'
import { type StartServer, Target } from './target.ts'

/** Every case, in the order of the sections. */
export const WIRE_CASES: readonly WireCase[] = [
  ...keyCases,
  ...metaCases,
  ...restCases,
  ...mergeCases,
  ...headerCases,
  ...limitsCases,
  ...staticCases,
  ...handshakeCases,
  ...frameCases,
  ...eventCases,
  ...socketCases,
  ...filterCases,
  ...filterErrorCases,
  ...limitCases,
  ...managementCases,
  ...describedCases,
  ...assetCases,
  ...endpointCases,
  ...proxyCases,
  ...shutdownCases,
]

export interface RunOptions {
  readonly url: string
  /** Letters and digits, different for each run, so that nothing of anyone else is touched. */
  readonly runId: string
  /** Default: the target is foreign, and cases that need a server of their own are skipped. */
  readonly start?: StartServer | undefined
}

export type Verdict =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'skipped'; readonly reason: string }

/** Runs one case in a key space of its own, and cleans up after it. Never rejects. */
export async function runCase(wireCase: WireCase, options: RunOptions): Promise<Verdict> {
  if (wireCase.needs === 'own' && options.start === undefined) {
    return { kind: 'skipped', reason: 'needs a server started with options of its own' }
  }
  const number = WIRE_CASES.indexOf(wireCase)
  const target = new Target(options.url, `wire${options.runId}x${number}`, options.start)
  try {
    await wireCase.run(target)
    return { kind: 'passed' }
  } catch (error) {
    return { kind: 'failed', error }
  } finally {
    await target.release()
    // A target that has gone away has already failed the case.
    await target.cleanUp().catch(() => undefined)
  }
}

export interface SectionReport {
  readonly section: string
  readonly results: readonly { readonly wireCase: WireCase; readonly verdict: Verdict }[]
}

/** Runs every case one after another, section by section. */
export async function runAll(options: RunOptions): Promise<SectionReport[]> {
  const sections = new Map<string, { wireCase: WireCase; verdict: Verdict }[]>()
  for (const wireCase of WIRE_CASES) {
    const results = sections.get(wireCase.section) ?? []
    sections.set(wireCase.section, results)
    results.push({ wireCase, verdict: await runCase(wireCase, options) })
  }
  return [...sections].map(([section, results]) => ({ section, results }))
}
