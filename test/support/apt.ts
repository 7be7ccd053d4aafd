/** Installing what tests need, where that can be done without asking: as root on Debian. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

/** Seconds to wait for another apt-get, as test files run side by side. */
const LOCK_TIMEOUT_S = 180

/** Installs a Debian package, saying so. False when that is not possible here, or failed. */
export function installWithApt(name: string): boolean {
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return false
  console.log(`${name}: not found, installing it with apt-get`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const lock = ['-qq', '-o', `DPkg::Lock::Timeout=${LOCK_TIMEOUT_S}`]
  try {
    execFileSync('apt-get', ['update', ...lock], { stdio: 'pipe', env })
    const install = ['install', '-y', '--no-install-recommends', ...lock, name]
    execFileSync('apt-get', install, { stdio: 'pipe', env })
    return true
  } catch (error) {
    console.log(`${name}: apt-get failed: ${error instanceof Error ? error.message : error}`)
    return false
  }
}
