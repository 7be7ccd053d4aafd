/** Certificates for tests, made by the `openssl` program in a folder of their own. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installWithApt } from './apt.ts'

/** Why there are no certificates to be had here; undefined when there are. */
export const NO_OPENSSL: string | undefined =
  hasOpenssl() || (installWithApt('openssl') && hasOpenssl())
    ? undefined
    : 'the openssl program is not installed'

// So that no test is skipped there unnoticed.
if (NO_OPENSSL !== undefined && process.env.CI === 'true') throw new Error(NO_OPENSSL)

function hasOpenssl(): boolean {
  return spawnSync('openssl', ['version']).status === 0
}

/** A certificate with its key, as files, PEM. */
export interface Pair {
  readonly certFile: string
  readonly keyFile: string
}

/** A folder with an authority; `remove` deletes it. */
export class CertificateFolder {
  readonly folder: string
  readonly caFile: string
  readonly #caKeyFile: string

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'certificates-'))
    this.caFile = this.file('ca.pem')
    this.#caKeyFile = this.file('ca.key')
    const subject = ['-subj', '/CN=test authority', '-addext', 'basicConstraints=critical,CA:TRUE']
    openssl(
      'req',
      '-x509',
      ...NEW_KEY,
      '-days',
      '2',
      ...subject,
      ...files(this.#caKeyFile, this.caFile),
    )
  }

  /** The path of a file in this folder. */
  file(name: string): string {
    return join(this.folder, name)
  }

  /** A certificate for this machine that the authority signed, as `<name>.pem` and `<name>.key`. */
  issue(name: string): Pair {
    const pair = { certFile: this.file(`${name}.pem`), keyFile: this.file(`${name}.key`) }
    const requestFile = this.file(`${name}.csr`)
    const namesFile = this.file(`${name}.ext`)
    writeFileSync(namesFile, 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\n')
    openssl('req', '-new', ...NEW_KEY, '-subj', `/CN=${name}`, ...files(pair.keyFile, requestFile))
    const authority = ['-CA', this.caFile, '-CAkey', this.#caKeyFile, '-CAcreateserial']
    const input = ['-in', requestFile, '-extfile', namesFile]
    openssl('x509', '-req', ...input, ...authority, '-days', '2', '-out', pair.certFile)
    return pair
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

const NEW_KEY: readonly string[] = [
  '-newkey',
  'ec',
  '-pkeyopt',
  'ec_paramgen_curve:P-256',
  '-nodes',
]

function files(keyFile: string, outFile: string): string[] {
  return ['-keyout', keyFile, '-out', outFile]
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
