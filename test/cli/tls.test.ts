import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { CertificateFolder, NO_OPENSSL } from '../support/certificates.ts'
import { CliProcess, runCli } from '../support/cli-process.ts'
import { waitFor } from '../support/wait.ts'

const READY = /serving (https?:\/\/\S+) /
const KEY = '--key=items/*'
const started: CliProcess[] = []

beforeAll(prepareBuild, 180_000)
afterEach(() => Promise.all(started.splice(0).map((command) => command.dispose())))

async function startNode(...args: string[]): Promise<string> {
  const node = new CliProcess(['serve', '--port', '0', '--memory', KEY, ...args])
  started.push(node)
  const [, url = ''] = await node.output(READY)
  return url
}

interface Status {
  readonly links: readonly { state: string; outbox: number; lastError?: string }[]
}

async function linkOf(url: string): Promise<Status['links'][number] | undefined> {
  const response = await fetch(`${url}/-/cluster`)
  return ((await response.json()) as Status).links[0]
}

it('refuses a certificate without its key', async () => {
  const end = await runCli(['serve', '--tls-cert', 'cert.pem'])
  expect(end.code).toBe(2)
  expect(end.stderr).toContain('--tls-cert: a certificate and its key go together')
})

describe.skipIf(NO_OPENSSL !== undefined)(
  `a leader on HTTPS (${NO_OPENSSL ?? 'by openssl'})`,
  () => {
    let certificates: CertificateFolder
    let tls: string[]

    beforeAll(() => {
      certificates = new CertificateFolder()
      const { certFile, keyFile } = certificates.issue('leader')
      tls = ['--tls-cert', certFile, '--tls-key', keyFile]
    })
    afterAll(() => certificates.remove())

    it('is followed by a node that trusts its authority', async () => {
      const leader = await startNode(...tls)
      expect(leader).toMatch(/^https:/)
      const url = await startNode('--cluster-url', leader, '--tls-ca', certificates.caFile)
      await fetch(`${url}/items/a`, { method: 'POST', body: '1' })
      await waitFor(
        async () => {
          const link = await linkOf(url)
          return link?.state === 'live' && link.outbox === 0
        },
        { what: 'the write to be with the leader' },
      )
    })

    it('is not followed by one that does not, which says so', async () => {
      const url = await startNode('--cluster-url', await startNode(...tls))
      await waitFor(async () => (await linkOf(url))?.lastError?.includes('certificate'), {
        what: 'the reason to be told',
      })
    })

    it('does not start with an authority that cannot be read, and says which', async () => {
      const end = await runCli(['serve', '--memory', '--port=0', KEY, '--tls-ca', '/nowhere.pem'])
      expect(end.code).toBe(1)
      expect(end.stderr).toContain('failed to read CA file "/nowhere.pem"')
    })
  },
)
