/** The shape of a conformance case: one row of the wire format, run against any server. */
import type { Target } from './target.ts'

/** `C`: peers observe it, a server must do it. `Q`: a server may differ, and the difference is reported. */
export type Tag = 'C' | 'Q'

export interface WireCase {
  /** Section of the wire format, such as `3.4`. */
  readonly section: string
  readonly name: string
  readonly tag: Tag
  /** `own`: only where the suite may start further servers with options of its own. Default: any target. */
  readonly needs?: 'own'
  /** Resolves when the server conforms. @throws WireFailure, or what the network threw. */
  run(target: Target): Promise<void>
}

/** Builds the cases of one section: `[C]` unless said otherwise. */
export function section(
  number: string,
  cases: Readonly<Record<string, WireCase['run']>>,
  more: { readonly tag?: Tag; readonly needs?: 'own' } = {},
): WireCase[] {
  const { tag = 'C', ...needs } = more
  return Object.entries(cases).map(([name, run]) => ({
    section: number,
    name,
    tag,
    run,
    ...needs,
  }))
}
