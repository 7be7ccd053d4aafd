/**
 * How long to wait before trying again: exponential growth with jitter, so that many clients that
 * lost the same server do not return in step. Source: Marc Brooker, "Exponential Backoff And
 * Jitter", AWS Architecture Blog, 2015.
 */
import { StateError } from '../errors.ts'
import type { Random } from './time.ts'

export interface BackoffOptions {
  /** Upper bound of the first delay, milliseconds. Default 300. 0 retries at once. */
  readonly initialMs: number
  /** Upper bound of every delay, milliseconds. Default 10 000. */
  readonly maxMs: number
  /** Growth of the bound from one attempt to the next. Default 2; 1 keeps it constant. */
  readonly factor: number
  /**
   * `full`: uniform in [0, bound), best at spreading load. `equal`: uniform in [bound / 2, bound),
   * never almost zero. Default `equal`.
   */
  readonly jitter: 'full' | 'equal'
}

export const DEFAULT_BACKOFF: BackoffOptions = Object.freeze({
  initialMs: 300,
  maxMs: 10_000,
  factor: 2,
  jitter: 'equal',
})

/**
 * Fills in defaults and checks ranges.
 * @throws StateError `invalid_option` naming the option, its value and the range.
 */
export function resolveBackoff(options: Partial<BackoffOptions> = {}): BackoffOptions {
  const resolved: BackoffOptions = {
    initialMs: options.initialMs ?? DEFAULT_BACKOFF.initialMs,
    maxMs: options.maxMs ?? DEFAULT_BACKOFF.maxMs,
    factor: options.factor ?? DEFAULT_BACKOFF.factor,
    jitter: options.jitter ?? DEFAULT_BACKOFF.jitter,
  }
  requireAtLeast('backoff.initialMs', resolved.initialMs, 0)
  requireAtLeast('backoff.maxMs', resolved.maxMs, resolved.initialMs)
  requireAtLeast('backoff.factor', resolved.factor, 1)
  if (resolved.jitter !== 'full' && resolved.jitter !== 'equal') {
    throw new StateError(
      'invalid_option',
      `backoff.jitter is ${String(resolved.jitter)}; allowed: full, equal`,
    )
  }
  return Object.freeze(resolved)
}

/**
 * Whole milliseconds to wait before attempt `attempt`, counted from 1 for the first attempt after
 * a failure. `random` is drawn exactly once.
 */
export function backoffDelayMs(attempt: number, options: BackoffOptions, random: Random): number {
  // The power overflows to Infinity for great attempts; the minimum brings it back.
  const grown = options.initialMs * options.factor ** Math.max(0, attempt - 1)
  const bound = Math.min(options.maxMs, Number.isNaN(grown) ? 0 : grown)
  const spread = random() * bound
  return Math.floor(options.jitter === 'full' ? spread : (bound + spread) / 2)
}

function requireAtLeast(name: string, value: number, least: number): void {
  if (Number.isFinite(value) && value >= least) return
  throw new StateError('invalid_option', `${name} is ${value}; it must be at least ${least}`)
}
