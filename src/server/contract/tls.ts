/**
 * Certificates: read and checked as a pair, watched, and replaced without a restart. A pair that does
 * not work never replaces one that does.
 */
import { type FSWatcher, watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { createSecureContext, rootCertificates, type SecureContextOptions } from 'node:tls'
import { errorText, StateError } from '../../core/errors.ts'
import type { Logger } from '../../core/ports/logger.ts'
import { type CancelTimer, NS_PER_MS, type TimeSource } from '../../core/ports/time.ts'

export interface TlsOptions {
  /** File with the certificate and its chain, PEM. */
  readonly certFile: string
  /** File with the private key of the certificate, PEM. */
  readonly keyFile: string
  /** File with the authorities that must have signed a client's certificate. Default: none is asked for. */
  readonly caFile?: string
  /** Oldest version of TLS spoken. Default `TLSv1.2`. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** False to load the files again only when asked to. Default true. */
  readonly watch?: boolean
}

/** What an HTTPS server is given. */
export interface TlsMaterial extends SecureContextOptions {
  readonly cert: Buffer
  readonly key: Buffer
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
}

/** Reads the files and checks that they fit. @throws StateError `invalid_option` naming the files. */
export async function loadTls(options: TlsOptions): Promise<TlsMaterial> {
  const { certFile, keyFile, caFile } = options
  try {
    const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
    const ca = caFile === undefined ? undefined : await readFile(caFile)
    const material: TlsMaterial = {
      cert,
      key,
      minVersion: options.minVersion ?? 'TLSv1.2',
      requestCert: ca !== undefined,
      rejectUnauthorized: ca !== undefined,
      ...(ca === undefined ? {} : { ca }),
    }
    createSecureContext(material)
    return material
  } catch (cause) {
    throw new StateError(
      'invalid_option',
      `ooo: failed to load TLS keypair: ${errorText(cause)} (certificate ${certFile}, key ${keyFile})`,
      { cause },
    )
  }
}

/**
 * Authorities for connections to other nodes: the usual ones and those in `files`, PEM; for
 * `createWsTransport({ ca })` and the `ca` of HTTPS requests.
 * @throws StateError `invalid_option` for a file that cannot be read or holds no certificate.
 */
export async function loadTrustedCas(files: readonly string[]): Promise<string[]> {
  const own = await Promise.all(files.map(readCas))
  return [...rootCertificates, ...own.flat()]
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

async function readCas(file: string): Promise<string[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new StateError('invalid_option', `ooo: failed to read CA file "${file}"`, { cause })
  }
  const found = text.match(PEM_CERTIFICATE) ?? []
  try {
    if (found.length === 0) throw new Error('no PEM block')
    createSecureContext({ ca: found })
  } catch (cause) {
    const message = `ooo: no valid certificate found in CA file "${file}"`
    throw new StateError('invalid_option', message, { cause })
  }
  return found
}

export interface CertificateReloaderOptions {
  readonly tls: TlsOptions
  /** The pair in use so far. */
  readonly current: TlsMaterial
  /** Puts a new pair to use for connections from now on. */
  readonly apply: (material: TlsMaterial) => void
  readonly time: TimeSource
  readonly logger: Logger
}

/** Milliseconds without a further change after which changed files are read. */
const SETTLE_MS = 200
/** Nanoseconds after which files that never stop changing are read all the same. */
const MAX_SETTLE_NS = 2_000n * NS_PER_MS

/** Follows the certificate files of a listener until it is closed. */
export class CertificateReloader {
  readonly #options: CertificateReloaderOptions
  readonly #watchers: FSWatcher[] = []
  #current: TlsMaterial
  #loading: Promise<void> | undefined
  #cancelSettle: CancelTimer | undefined
  /** When the first change came that has not been read. */
  #changedNs: bigint | undefined
  #state: 'open' | 'closed' = 'open'

  constructor(options: CertificateReloaderOptions) {
    this.#options = options
    this.#current = options.current
    if (options.tls.watch ?? true) this.#watch()
  }

  /**
   * Reads the files again; calls during a read get the same promise.
   * @throws StateError `invalid_option` when they do not work; the former pair stays in use.
   */
  reload(): Promise<void> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  /** Stops watching. Idempotent. */
  close(): void {
    this.#state = 'closed'
    this.#cancelSettle?.()
    for (const watcher of this.#watchers.splice(0)) watcher.close()
  }

  async #load(): Promise<void> {
    const loaded = await loadTls(this.#options.tls)
    if (this.#state === 'closed' || isSame(loaded, this.#current)) return
    this.#options.apply(loaded)
    this.#current = loaded
    this.#options.logger.info('a new certificate is in use', {
      certificate: this.#options.tls.certFile,
    })
  }

  /** Folders, not files: a file that is replaced by another is not seen by a watcher of the file. */
  #watch(): void {
    const { certFile, keyFile, caFile } = this.#options.tls
    const files = caFile === undefined ? [certFile, keyFile] : [certFile, keyFile, caFile]
    const names = new Set(files.map((file) => basename(file)))
    for (const folder of new Set(files.map((file) => dirname(file)))) {
      try {
        const watcher = watch(folder, { persistent: false }, (_event, name) => {
          // Mounted secrets are links to a hidden folder that is replaced as a whole.
          if (name === null || names.has(name) || name.startsWith('..')) this.#changed()
        })
        watcher.on('error', (error) => this.#unwatchable(folder, error))
        this.#watchers.push(watcher)
      } catch (error) {
        this.#unwatchable(folder, error)
      }
    }
  }

  #unwatchable(folder: string, error: unknown): void {
    this.#options.logger.warn('certificates can not be watched: reload them by hand', {
      folder,
      error: errorText(error),
    })
  }

  /** A certificate and its key are written one after the other: waits until nothing changes. */
  #changed(): void {
    if (this.#state === 'closed') return
    const now = this.#options.time.monotonicNs()
    this.#changedNs ??= now
    if (this.#cancelSettle !== undefined && now - this.#changedNs > MAX_SETTLE_NS) return
    this.#cancelSettle?.()
    this.#cancelSettle = this.#options.time.after(SETTLE_MS, () => this.#settled())
  }

  #settled(): void {
    this.#changedNs = undefined
    this.#cancelSettle = undefined
    this.reload().catch((error: unknown) => {
      this.#options.logger.error('the certificate in use stays: the new one does not work', {
        error: errorText(error),
      })
    })
  }
}

function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  return a.cert.equals(b.cert) && a.key.equals(b.key) && String(a.ca) === String(b.ca)
}
