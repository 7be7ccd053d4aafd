/** Installing what tests need, where that can be done without asking: as root on Debian. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Seconds to wait for another apt-get, as test files run side by side. */
const LOCK_TIMEOUT_S = 180

/** The packages that tests install, each with what for. */
export const PACKAGES = {
  chromium: 'tests of web pages drive a real browser',
  faketime: 'tests of wrong clocks give one to a process',
  gcc: 'tests of power cuts compile a layer that forgets what was not synced',
  'nginx-light': 'tests of reverse proxies pass through a real one',
  openssl: 'tests of TLS make their certificates with it',
  postgresql: 'stores and tables are tested on a real server',
  'redis-server': 'the bus and elections are tested on a real server',
} as const

export type PackageName = keyof typeof PACKAGES

/** Where it is installed; tests of this file put another in its place. */
export interface AptMachine {
  readonly isRootOnDebian: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  /** Throws when the command fails. */
  run(command: readonly string[]): void
  say(text: string): void
}

const THIS_MACHINE: AptMachine = {
  isRootOnDebian: process.getuid?.() === 0 && existsSync('/etc/debian_version'),
  env: process.env,
  run: ([program = '', ...args]) => {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    execFileSync(program, args, { stdio: 'pipe', env })
  },
  say: (text) => console.log(text),
}

/**
 * Installs a Debian package, saying so first. False when that is not possible here, is turned off
 * by `OOO_TEST_INSTALL=never`, or failed: the tests that need it are then skipped, or fail with `CI=true`.
 */
export function installWithApt(name: PackageName, machine: AptMachine = THIS_MACHINE): boolean {
  const mode = machine.env.OOO_TEST_INSTALL ?? ''
  if (mode !== '' && mode !== 'never') {
    throw new Error(`OOO_TEST_INSTALL: "${mode}" is not allowed; give never, or leave it out`)
  }
  if (!machine.isRootOnDebian) return false
  if (mode === 'never') {
    machine.say(`${name}: not found, and not installed: OOO_TEST_INSTALL=never`)
    return false
  }
  const why = `${PACKAGES[name]} (OOO_TEST_INSTALL=never turns this off)`
  machine.say(`${name}: not found, installing it with apt-get: ${why}`)
  const lock = ['-qq', '-o', `DPkg::Lock::Timeout=${LOCK_TIMEOUT_S}`]
  try {
    machine.run(['apt-get', 'update', ...lock])
    machine.run(['apt-get', 'install', '-y', '--no-install-recommends', ...lock, name])
    return true
  } catch (error) {
    machine.say(`${name}: apt-get failed: ${error instanceof Error ? error.message : error}`)
    return false
  }
}
