/**
 * Functions of the server's owner that run at moments of its life. They may be registered before
 * `open` and while serving, outlive `close`, and run in the order of registration.
 *
 * What a hook throws, where nothing else is said, is logged and the next one runs: a write that is
 * durable, or a close under way, is not undone by it.
 */
import type { IncomingMessage } from 'node:http'
import type { Change } from '../../core/data/entry.ts'
import { errorText, StateError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import { NS_PER_MS, type TimeSource } from '../../core/ports/time.ts'

type Awaitable = void | Promise<void>

/** What a write did to a key. */
export type WriteOperation = 'set' | 'del'

/** Every kind of hook. */
export interface HookTable {
  /** The server listens and everything works. A failure makes `open` fail, after a full close. */
  readonly start: () => Awaitable
  /** Last step of `close`. */
  readonly close: () => Awaitable
  /** First step of `close`: everything is up. No hook of closing may await `close` itself. */
  readonly preShutdown: () => Awaitable
  /** Proxies are being taken down; sockets and requests are still served. */
  readonly proxyTeardown: () => Awaitable
  /** The storage is closed. */
  readonly postShutdown: () => Awaitable
  /** A client asks to subscribe; `key` is empty for the clock. A failure refuses it with 400. */
  readonly subscribe: (key: string, request: IncomingMessage) => Awaitable
  /** A subscription ended: once for each that every `subscribe` hook took, whatever ended it. */
  readonly unsubscribe: (key: string) => Awaitable
  /**
   * A key or glob is about to be read. The read waits for it, at most `beforeReadTimeoutMs`, and goes on
   * when it fails.
   */
  readonly beforeRead: (keyOrGlob: string) => Awaitable
  /** A change is durable and not yet sent to subscribers and watchers. Not waited for. */
  readonly afterWriteOp: (key: string, operation: WriteOperation) => Awaitable
  /** As `afterWriteOp`, once the change has been handed to its subscribers. Not waited for. */
  readonly afterWrite: (key: string, operation: WriteOperation) => Awaitable
  /** A change has been handed to its subscribers. Not waited for; not called for `noBroadcastKeys`. */
  readonly storageEvent: (change: Change) => Awaitable
}

export type HookKind = keyof HookTable

/** Ends a registration. Idempotent. */
export type Unregister = () => void

/** The hooks of one server. */
export class Hooks {
  readonly #hooks: { readonly [Kind in HookKind]: HookTable[Kind][] } = {
    start: [],
    close: [],
    preShutdown: [],
    proxyTeardown: [],
    postShutdown: [],
    subscribe: [],
    unsubscribe: [],
    beforeRead: [],
    afterWriteOp: [],
    afterWrite: [],
    storageEvent: [],
  }

  /**
   * Registers `hook`; what it may do, and what a failure means, is written at its kind in HookTable.
   * @throws StateError `invalid_option` for a kind that does not exist.
   */
  on<Kind extends HookKind>(kind: Kind, hook: HookTable[Kind]): Unregister {
    if (!Object.hasOwn(this.#hooks, kind)) {
      throw new StateError('invalid_option', `ooo: unknown hook ${kind}`)
    }
    const hooks: HookTable[Kind][] = this.#hooks[kind]
    hooks.push(hook)
    return () => {
      const index = hooks.indexOf(hook)
      if (index !== -1) hooks.splice(index, 1)
    }
  }

  /** The hooks of one kind at this moment, first registered first. */
  list<Kind extends HookKind>(kind: Kind): readonly HookTable[Kind][] {
    const hooks: readonly HookTable[Kind][] = this.#hooks[kind]
    return [...hooks]
  }

  has(kind: HookKind): boolean {
    return this.#hooks[kind].length > 0
  }
}

/** Runs the hooks that may refuse, one after the other. @throws what the first failing one threw. */
export async function runRefusing<Kind extends 'start' | 'subscribe'>(
  hooks: Hooks,
  kind: Kind,
  ...args: Parameters<HookTable[Kind]>
): Promise<void> {
  for (const hook of hooks.list(kind)) await Reflect.apply(hook, undefined, args)
}

/** Starts the hooks that nobody waits for. Never throws. */
export function announce<
  Kind extends 'unsubscribe' | 'afterWriteOp' | 'afterWrite' | 'storageEvent',
>(hooks: Hooks, kind: Kind, logger: Logger, ...args: Parameters<HookTable[Kind]>): void {
  if (!hooks.has(kind)) return
  for (const hook of hooks.list(kind)) {
    try {
      const result: unknown = Reflect.apply(hook, undefined, args)
      if (result instanceof Promise) {
        result.catch((error: unknown) => logHookFailure(logger, kind, error))
      }
    } catch (error) {
      logHookFailure(logger, kind, error)
    }
  }
}

/** The phases of closing that hooks take part in. */
export type ClosePhase = 'preShutdown' | 'proxyTeardown' | 'postShutdown' | 'close'

export interface CloseHooksOptions {
  readonly hooks: Hooks
  /** Milliseconds all hooks of this close may take together; 0 for no limit. */
  readonly budgetMs: number
  readonly time: TimeSource
  readonly logger: Logger
}

/**
 * The hooks of one close. Once they have used up the budget, those that have not run are skipped; one
 * that runs is never interrupted. Time between hooks does not count.
 */
export class CloseHooks {
  readonly #options: CloseHooksOptions
  readonly #budgetNs: bigint
  #spentNs = 0n

  constructor(options: CloseHooksOptions) {
    this.#options = options
    this.#budgetNs = BigInt(options.budgetMs) * NS_PER_MS
  }

  /** Runs the hooks of a phase one after the other. Never rejects. */
  async run(phase: ClosePhase): Promise<void> {
    const { hooks, time, logger } = this.#options
    const waiting = [...hooks.list(phase)]
    for (let hook = waiting.shift(); hook !== undefined; hook = waiting.shift()) {
      if (this.#isSpent()) {
        logger.warn('hooks were skipped: the time for hooks of a close is used up', {
          phase,
          skipped: waiting.length + 1,
          budgetMs: this.#options.budgetMs,
        })
        return
      }
      const start = time.monotonicNs()
      try {
        await hook()
      } catch (error) {
        logHookFailure(logger, phase, error)
      }
      this.#spentNs += time.monotonicNs() - start
    }
  }

  #isSpent(): boolean {
    return this.#budgetNs > 0n && this.#spentNs >= this.#budgetNs
  }
}

function logHookFailure(logger: Logger, kind: HookKind, error: unknown): void {
  logger.error('a hook failed', { hook: kind, error: errorText(error) })
}
