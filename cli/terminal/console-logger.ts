/** Log lines for people: one line per message on one stream, filtered by level. */
import type { LogFields, Logger } from '../../src/core/ports/logger.ts'

/** From everything to nothing. */
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export interface ConsoleLoggerOptions {
  /** Least severe level that is written. */
  readonly level: LogLevel
  /** Takes one line, its newline included. */
  readonly write: (line: string) => void
  /** Time of a line. Default: the system clock. */
  readonly now?: () => Date
  /** Lines begin with their priority (sd-daemon(3)) in place of the time, which the journal has. Default false. */
  readonly journal?: boolean
}

/** As syslog counts. */
const PRIORITIES: Readonly<Record<LogLevel, number>> = {
  debug: 7,
  info: 6,
  warn: 4,
  error: 3,
  silent: 7,
}

/** A logger that writes `2030-01-31T12:00:00.000Z warn message name=value …`. */
export function createConsoleLogger(options: ConsoleLoggerOptions): Logger {
  const now = options.now ?? (() => new Date())
  const least = LOG_LEVELS.indexOf(options.level)
  const at = (level: LogLevel) => (message: string, fields?: LogFields) => {
    if (LOG_LEVELS.indexOf(level) < least) return
    const start = options.journal === true ? `<${PRIORITIES[level]}>` : `${now().toISOString()} `
    options.write(`${start}${level} ${formatLine(message, fields)}\n`)
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

const CONTROL_CHARACTERS = /[\p{Cc}\u2028\u2029]/gu

function formatLine(message: string, fields: LogFields = {}): string {
  const pairs = Object.entries(fields).filter(([, value]) => value !== undefined)
  return [message, ...pairs.map(([name, value]) => `${name}=${formatValue(`${value}`)}`)]
    .map(oneLine)
    .join(' ')
}

/** Quoted where a reader, or a program that splits at spaces, could take it for several values. */
function formatValue(value: string): string {
  return value === '' || /[\s"=]/.test(value) ? JSON.stringify(value) : value
}

/** Control characters would let a message forge further lines. */
function oneLine(text: string): string {
  return text.replace(
    CONTROL_CHARACTERS,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
