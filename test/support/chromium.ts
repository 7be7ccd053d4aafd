/** Finds and starts Chromium for the tests that need a real browser. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import { installWithApt } from './apt.ts'

/** Where the browser is, or why there is none. */
export type ChromiumSearch =
  | { readonly path: string }
  | { readonly path: undefined; readonly reason: string }

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'] as const

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
] as const

let found: ChromiumSearch | undefined

/**
 * `CHROMIUM_PATH`, else what is on the PATH, else (as root on Debian) what apt-get installs.
 * With `CI=true` a missing browser is an error, so that no test is skipped there unnoticed.
 */
export function findChromium(): ChromiumSearch {
  found ??= search()
  if (found.path === undefined && process.env.CI === 'true') throw new Error(found.reason)
  return found
}

/** Starts it, with more arguments; close it when done. Throws when there is none. */
export async function launchChromium(more: readonly string[] = []): Promise<Browser> {
  const chosen = findChromium()
  if (chosen.path === undefined) throw new Error(chosen.reason)
  return await chromium.launch({ executablePath: chosen.path, args: [...ARGUMENTS, ...more] })
}

function search(): ChromiumSearch {
  const named = process.env.CHROMIUM_PATH
  if (named !== undefined && named !== '') {
    if (isExecutable(named)) return { path: named }
    return { path: undefined, reason: `CHROMIUM_PATH=${named} is not an executable file` }
  }
  const path = onPath() ?? installed()
  if (path !== undefined) return { path }
  const reason = `no Chromium: set CHROMIUM_PATH, or install one of ${NAMES.join(', ')}`
  return { path: undefined, reason }
}

function onPath(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter)
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))
  return candidates.find(isExecutable)
}

function installed(): string | undefined {
  return installWithApt('chromium') ? onPath() : undefined
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
