import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CertificateFolder, NO_OPENSSL } from '../../support/certificates.ts'
import { waitFor } from '../../support/wait.ts'
import { serve, type TestServer } from '../serve.ts'
import { addressOf } from './fixtures.ts'

describe.skipIf(NO_OPENSSL !== undefined)(`a proxy to TLS (${NO_OPENSSL ?? 'by openssl'})`, () => {
  let folder: CertificateFolder | undefined

  beforeAll(() => {
    folder = new CertificateFolder()
  })
  afterAll(() => folder?.remove())

  function certificates(): CertificateFolder {
    if (folder === undefined) throw new Error('no certificates')
    return folder
  }

  async function proxyToTls(trusted: boolean): Promise<TestServer> {
    const target = await serve({ tls: certificates().issue('target') })
    await target.server.store.set('a', '{"n":1.0}')
    const server = await serve()
    server.server.proxy.route({
      localPath: 'p/*',
      resolve: (path) => ({ address: addressOf(target), path: path.slice(2) }),
      subscribe: { protocol: 'wss' },
      ...(trusted ? { ca: readFileSync(certificates().caFile, 'utf8') } : {}),
    })
    return server
  }

  it('forwards requests and subscriptions when it trusts the authority', async () => {
    const server = await proxyToTls(true)
    expect((await server.get('/p/a')).body).toContain('{"n":1.0}')
    const client = await server.subscribe('/p/a')
    expect((await server.post('/p/a', '2')).status).toBe(200)
    await client.frame(1)
    expect(client.state).toContain('"data":2')
  })

  it('does not talk to a target it can not trust', async () => {
    const server = await proxyToTls(false)
    const answer = await server.get('/p/a')
    expect(answer.status).toBe(502)
    expect(answer.body).toMatch(/^proxy: target failed: .*(?:certificate|issuer)/)
    const client = await server.subscribe('/p/a', { expectFrame: false })
    const { proxy } = server.server
    await waitFor(() => proxy.metrics().lost > 0, { what: 'the failed dial' })
    expect(client.texts).toEqual([])
  })
})
