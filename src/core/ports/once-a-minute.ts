/**
 * A logger for what a client or a peer can bring about with each request, frame or connection: whoever floods a
 * node must not flood its log. The first line of a kind is logged at once, then at most one in a minute, which
 * says how many were left out since the one before.
 */
import { type LogFields, type Logger, SILENT_LOGGER } from './logger.ts'
import { NS_PER_SECOND, type TimeSource } from './time.ts'

/** Kinds that are told apart at a time; all others count as one. */
const MAX_KINDS = 200
const QUIET_NS = 60n * NS_PER_SECOND
/** Fields of which a kind is made beside the message: none holds a text that a peer chooses. */
const KIND_FIELDS = ['code', 'hook', 'address'] as const
const OTHER = 'other'

interface Kind {
  readonly loggedNs: bigint
  leftOut: number
}

/**
 * What `logger` gets of a flood; `debug` is passed on as it is. Without `time` everything is. Errors, which are faults
 * of this side, are told apart by their text too.
 */
export function onceAMinute(logger: Logger, time: TimeSource | undefined): Logger {
  if (time === undefined || logger === SILENT_LOGGER) return logger
  const kinds = new Kinds(time)
  const limited =
    (level: 'info' | 'warn' | 'error') =>
    (message: string, fields?: LogFields): void => {
      const names = level === 'error' ? [...KIND_FIELDS, 'error'] : KIND_FIELDS
      const leftOut = kinds.take([message, ...names.map((name) => fields?.[name])].join('\n'))
      if (leftOut === undefined) return
      logger[level](message, leftOut === 0 ? fields : { ...fields, leftOut })
    }
  return {
    debug: (message, fields) => logger.debug(message, fields),
    info: limited('info'),
    warn: limited('warn'),
    error: limited('error'),
  }
}

class Kinds {
  readonly #time: TimeSource
  /** The one that was logged the longest ago is first. */
  readonly #kinds = new Map<string, Kind>()

  constructor(time: TimeSource) {
    this.#time = time
  }

  /** @returns how many were left out since the last line of this kind; undefined: this one is, too. */
  take(wanted: string): number | undefined {
    const nowNs = this.#time.monotonicNs()
    const name = this.#hasRoom(wanted, nowNs) ? wanted : OTHER
    const kind = this.#kinds.get(name)
    if (kind !== undefined && nowNs - kind.loggedNs < QUIET_NS) {
      kind.leftOut++
      return undefined
    }
    this.#kinds.delete(name)
    this.#kinds.set(name, { loggedNs: nowNs, leftOut: 0 })
    return kind?.leftOut ?? 0
  }

  /** Forgets the kind that was logged the longest ago, if that was more than a minute ago, for a new one. */
  #hasRoom(name: string, nowNs: bigint): boolean {
    if (this.#kinds.has(name) || this.#kinds.size < MAX_KINDS) return true
    const [oldest] = this.#kinds
    if (oldest === undefined || nowNs - oldest[1].loggedNs < QUIET_NS) return false
    this.#kinds.delete(oldest[0])
    return true
  }
}
