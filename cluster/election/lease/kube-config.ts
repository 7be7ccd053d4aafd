/**
 * How to reach the Kubernetes API: inside of a pod by its service account, elsewhere by the file that
 * `KUBECONFIG` names. Files are read again for every request, since tokens and authorities are rotated.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { errorText, StateError } from '../../../src/core/errors.ts'

/** What one request needs. */
export interface KubeAccess {
  /** `https://host:port`, perhaps with a path, without a slash at its end. */
  readonly server: string
  readonly token: string | undefined
  /** PEM. undefined: the usual authorities. */
  readonly ca: string | undefined
  /** Client certificate and key, PEM. */
  readonly cert: string | undefined
  readonly key: string | undefined
  /** False takes any certificate, as the file asks for. */
  readonly verifies: boolean
}

export interface KubeConfig {
  /** Of the pod, or of the context; `default` when neither tells. */
  readonly namespace: string
  /** @throws StateError `invalid_option` when a file can not be read. */
  access(): KubeAccess
}

const ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'

export interface KubeEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder of the service account. Default: where Kubernetes puts it. */
  readonly accountFolder?: string
}

/** @throws StateError `invalid_option` naming what is missing or wrong. */
export function loadKubeConfig({ env, accountFolder }: KubeEnvironment): KubeConfig {
  const folder = accountFolder ?? ACCOUNT_FOLDER
  if (env.KUBECONFIG !== undefined && env.KUBECONFIG !== '') return fileConfig(env.KUBECONFIG)
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env
  if (host === undefined || port === undefined || !existsSync(`${folder}/token`)) {
    throw new StateError(
      'invalid_option',
      'cluster: no Kubernetes API: neither is this a pod with a service account (automountServiceAccountToken) nor is KUBECONFIG set',
    )
  }
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`
  return {
    namespace: existsSync(`${folder}/namespace`) ? read(`${folder}/namespace`).trim() : 'default',
    access: () => ({
      server,
      token: read(`${folder}/token`).trim(),
      ca: read(`${folder}/ca.crt`),
      cert: undefined,
      key: undefined,
      verifies: true,
    }),
  }
}

function fileConfig(path: string): KubeConfig {
  const first = contextOf(path)
  return {
    namespace: text(first.context, 'namespace') ?? 'default',
    access: () => accessOf(path),
  }
}

type Fields = Readonly<Record<string, unknown>>

function contextOf(path: string): { root: Fields; context: Fields } {
  let root: Fields
  try {
    root = fields(parse(read(path)))
  } catch (cause) {
    throw refused(path, errorText(cause), cause)
  }
  const name = text(root, 'current-context')
  if (name === undefined) throw refused(path, 'there is no current-context')
  return { root, context: entry(path, root, 'context', name) }
}

function accessOf(path: string): KubeAccess {
  const { root, context } = contextOf(path)
  const cluster = entry(path, root, 'cluster', text(context, 'cluster'))
  const user = entry(path, root, 'user', text(context, 'user'))
  const server = text(cluster, 'server')
  if (server === undefined || !URL.canParse(server)) throw refused(path, 'it names no server')
  if (user.exec !== undefined || user['auth-provider'] !== undefined) {
    throw refused(
      path,
      'users by exec or auth-provider are not supported; use a token or a certificate',
    )
  }
  const pem = (from: Fields, name: string): string | undefined => {
    const data = text(from, `${name}-data`)
    if (data !== undefined) return Buffer.from(data, 'base64').toString()
    const file = text(from, name)
    return file === undefined ? undefined : read(resolve(dirname(path), file))
  }
  const tokenFile = text(user, 'tokenFile')
  return {
    server: server.replace(/\/+$/, ''),
    token:
      tokenFile === undefined
        ? text(user, 'token')
        : read(resolve(dirname(path), tokenFile)).trim(),
    ca: pem(cluster, 'certificate-authority'),
    cert: pem(user, 'client-certificate'),
    key: pem(user, 'client-key'),
    verifies: cluster['insecure-skip-tls-verify'] !== true,
  }
}

/** Of the list `clusters`, `users` or `contexts` the one with this name. */
function entry(path: string, root: Fields, kind: string, name: string | undefined): Fields {
  const list = root[`${kind}s`]
  const found = (Array.isArray(list) ? list : []).map(fields).find((item) => item.name === name)
  if (name === undefined || found === undefined) {
    throw refused(path, `there is no ${kind} "${name ?? ''}"`)
  }
  return fields(found[kind])
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw refused(path, errorText(cause), cause)
  }
}

function refused(path: string, reason: string, cause?: unknown): StateError {
  return new StateError('invalid_option', `cluster: ${path}: ${reason}`, { cause })
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

function text(from: Fields, name: string): string | undefined {
  const value = from[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}
