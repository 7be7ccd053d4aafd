/** How many files and sockets the system lets this process have open. */
import { readFileSync } from 'node:fs'

/**
 * The limit of this process, which Node has raised as far as it may; undefined where the system does not
 * tell, or has none.
 */
export function openFilesLimit(): number | undefined {
  try {
    return parseOpenFiles(readFileSync('/proc/self/limits', 'utf8'))
  } catch {
    // Only Linux has that file. The limit of connections then is the default.
    return undefined
  }
}

/** The soft limit in the text of `/proc/self/limits`. */
export function parseOpenFiles(text: string): number | undefined {
  const digits = /^Max open files\s+(\d+)\s/m.exec(text)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
