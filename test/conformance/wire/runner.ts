/** Runs cases against a target and says which rows of the wire format it keeps. */
import type { WireCase } from './case.ts'
import { keyCases } from './section-1-keys.ts'
import { metaCases } from './section-2-meta.ts'
import { headerCases } from './section-3-headers.ts'
import { mergeCases } from './section-3-merge.ts'
import { restCases } from './section-3-rest.ts'
import { staticCases } from './section-3-static.ts'
import { eventCases } from './section-4-events.ts'
import { frameCases } from './section-4-frames.ts'
import { handshakeCases } from './section-4-handshake.ts'
import { managementCases } from './section-6-management.ts'
import { type StartServer, Target } from './target.ts'

/** Every case, in the order of the sections. */
export const WIRE_CASES: readonly WireCase[] = [
  ...keyCases,
  ...metaCases,
  ...restCases,
  ...mergeCases,
  ...headerCases,
  ...staticCases,
  ...handshakeCases,
  ...frameCases,
  ...eventCases,
  ...managementCases,
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
