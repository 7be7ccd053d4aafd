import { once } from 'node:events'
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import * as https from 'node:https'
import * as net from 'node:net'
import * as tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cluster } from '../../../cluster/index.ts'
import { isStateError } from '../../../src/core/errors.ts'
import { loadTrustedCas, type TlsOptions } from '../../../src/server/contract/tls.ts'
import { createWsTransport } from '../../../src/server/dial/ws-transport.ts'
import { createServer, type Server, type ServerOptions } from '../../../src/server/server.ts'
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { CertificateFolder, NO_OPENSSL, type Pair } from '../../support/certificates.ts'
import { waitFor } from '../../support/wait.ts'
import { afterTest, SocketClient } from '../serve.ts'

let made: CertificateFolder | undefined

beforeAll(() => {
  if (NO_OPENSSL === undefined) made = new CertificateFolder()
})
afterAll(() => made?.remove())

function certificates(): CertificateFolder {
  if (made === undefined) throw new Error('no certificates')
  return made
}

async function serveTls(options: TlsOptions, deadlineMs = 10_000): Promise<Server> {
  const server = createServer({ storage: new MemoryStorage(), port: 0, tls: options, deadlineMs })
  afterTest(() => server.close())
  await server.open()
  return server
}

/** Health over HTTPS, and the name in the certificate that the server showed. */
async function visit(
  server: Server,
  options: https.RequestOptions = {},
): Promise<{ status: number; name: string }> {
  const ca = await loadTrustedCas([certificates().caFile])
  return new Promise((resolve, reject) => {
    const outgoing = https.get(
      `${server.address?.url}/-/healthz`,
      { ca, agent: false, ...options },
      (incoming) => {
        const { subject } = (incoming.socket as tls.TLSSocket).getPeerCertificate()
        incoming.resume()
        resolve({ status: incoming.statusCode ?? 0, name: String(subject.CN) })
      },
    )
    outgoing.on('error', reject)
  })
}

function install(from: Pair, to: Pair): void {
  copyFileSync(from.certFile, `${to.certFile}.new`)
  renameSync(`${to.certFile}.new`, to.certFile)
  copyFileSync(from.keyFile, to.keyFile)
}

describe.skipIf(NO_OPENSSL !== undefined)(`TLS (${NO_OPENSSL ?? 'by openssl'})`, () => {
  it('serves HTTPS and WSS, from 1.2 on, and nothing in the clear', async () => {
    const server = await serveTls(certificates().issue('plain'))
    expect(server.address?.url).toBe(`https://127.0.0.1:${server.address?.port}`)
    expect(await visit(server)).toEqual({ status: 200, name: 'plain' })
    const ca = await loadTrustedCas([certificates().caFile])
    const client = new SocketClient(`wss://127.0.0.1:${server.address?.port}/a`, [], { ca })
    await client.frame(0)
    await server.store.set('a', '1')
    await client.frame(1)
    expect(client.state).toContain('"data":1')
    await expect(visit(server, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })).rejects.toThrow()
    await expect(visit(server, { ca: [] })).rejects.toThrow(
      /self-signed|unable to verify|local issuer/,
    )
  })

  it('can insist on 1.3', async () => {
    const server = await serveTls({ ...certificates().issue('new'), minVersion: 'TLSv1.3' })
    await expect(visit(server, { maxVersion: 'TLSv1.2' })).rejects.toThrow()
    expect((await visit(server)).status).toBe(200)
  })

  it('asks clients for a certificate of the given authority, when there is one', async () => {
    const folder = certificates()
    const server = await serveTls({ ...folder.issue('strict'), caFile: folder.caFile })
    await expect(visit(server)).rejects.toThrow()
    const client = folder.issue('client')
    const own = { cert: readFileSync(client.certFile), key: readFileSync(client.keyFile) }
    expect((await visit(server, own)).status).toBe(200)
  })

  it('does not start with a pair that does not fit, says so, and starts once it does', async () => {
    const folder = certificates()
    const pair = folder.issue('fixed')
    const other = folder.issue('other')
    const broken = { certFile: pair.certFile, keyFile: folder.file('fixed-later.key') }
    const storage = new MemoryStorage()
    const server = createServer({ storage, port: 0, tls: broken })
    afterTest(() => server.close())
    const refusal = (error: unknown): boolean =>
      isStateError(error, 'invalid_option') &&
      error.message.startsWith('ooo: failed to load TLS keypair: ') &&
      error.message.includes(broken.keyFile)
    await expect(server.open()).rejects.toSatisfy(refusal)
    copyFileSync(other.keyFile, broken.keyFile)
    await expect(server.open()).rejects.toSatisfy(refusal)
    await expect(storage.get('x')).rejects.toSatisfy((error) => isStateError(error, 'not_open'))
    copyFileSync(pair.keyFile, broken.keyFile)
    await server.open()
    expect((await visit(server)).status).toBe(200)
  })

  it('takes up a new certificate when its files change, and keeps open connections', async () => {
    const folder = certificates()
    const pair = { certFile: folder.file('live.pem'), keyFile: folder.file('live.key') }
    install(folder.issue('first'), pair)
    const server = await serveTls(pair)
    const ca = await loadTrustedCas([folder.caFile])
    const client = new SocketClient(`wss://127.0.0.1:${server.address?.port}/a`, [], { ca })
    await client.frame(0)
    expect((await visit(server)).name).toBe('first')
    install(folder.issue('second'), pair)
    await waitFor(async () => (await visit(server)).name === 'second')
    await server.store.set('a', '1')
    await client.frame(1)
  })

  it('keeps the certificate in use when the new one does not work', async () => {
    const folder = certificates()
    const pair = { certFile: folder.file('kept.pem'), keyFile: folder.file('kept.key') }
    install(folder.issue('good'), pair)
    const server = await serveTls({ ...pair, watch: false })
    writeFileSync(pair.certFile, 'nonsense')
    await expect(server.reloadCertificate()).rejects.toSatisfy((error) =>
      isStateError(error, 'invalid_option'),
    )
    expect((await visit(server)).name).toBe('good')
    install(folder.issue('better'), pair)
    await server.reloadCertificate()
    expect((await visit(server)).name).toBe('better')
  })

  it('closes although a client never finishes its handshake', async () => {
    const server = await serveTls(certificates().issue('late'), 100)
    const socket = net.connect(server.address?.port ?? 0, '127.0.0.1')
    afterTest(() => socket.destroy())
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.write(Buffer.from([0x16, 0x03, 0x01]))
    // Connections are taken in their order, so the silent one has been when a later one is answered.
    await visit(server)
    const closed = once(socket, 'close')
    await server.close()
    await closed
    // The limit for handshakes, which would end it as well, is two minutes.
  }, 90_000)

  it('carries the connections of other nodes with an authority of its own', async () => {
    const server = await serveTls(certificates().issue('node'))
    const url = `wss://127.0.0.1:${server.address?.port}/a`
    const outcome = (ca: string[]): Promise<string> =>
      new Promise((resolve) => {
        const dialled = createWsTransport({ ca }).dial({ url }, () => resolve('open'), {
          message: () => undefined,
          close: ({ reason }) => resolve(reason),
        })
        afterTest(() => dialled.terminate())
      })
    expect(await outcome(await loadTrustedCas([certificates().caFile]))).toBe('open')
    expect(await outcome([...tls.rootCertificates])).toMatch(/verify|self-signed|issuer/)
  })

  it('carries replication from a leader at an https:// address', async () => {
    const node = async (options: Partial<ServerOptions>, clusterUrl?: string): Promise<Server> => {
      const leads = clusterUrl === undefined ? {} : { clusterUrl }
      const plugins = [cluster({ keys: [{ path: 'items/*' }], ...leads })]
      const server = createServer({ storage: new MemoryStorage(), port: 0, plugins, ...options })
      afterTest(() => server.close())
      await server.open()
      return server
    }
    const leader = await node({ tls: certificates().issue('leader') })
    const transport = createWsTransport({ ca: await loadTrustedCas([certificates().caFile]) })
    const follower = await node({ transport }, leader.address?.url)
    await follower.store.set('items/a', '1')
    await waitFor(async () => (await leader.store.get('items/a'))?.data === '1')
    await leader.store.set('items/b', '2')
    await waitFor(async () => (await follower.store.get('items/b'))?.data === '2')
  })

  it('names the authority file that is missing or holds no certificate', async () => {
    const folder = certificates()
    const missing = folder.file('missing.pem')
    await expect(loadTrustedCas([missing])).rejects.toThrow(
      `ooo: failed to read CA file "${missing}"`,
    )
    const { keyFile } = folder.issue('key')
    await expect(loadTrustedCas([folder.caFile, keyFile])).rejects.toThrow(
      `ooo: no valid certificate found in CA file "${keyFile}"`,
    )
  })
})

it('reloading certificates without TLS does nothing, and needs an open server', async () => {
  const server = createServer({ storage: new MemoryStorage(), port: 0 })
  await expect(server.reloadCertificate()).rejects.toSatisfy((error) =>
    isStateError(error, 'not_open'),
  )
  afterTest(() => server.close())
  await server.open()
  await server.reloadCertificate()
})
