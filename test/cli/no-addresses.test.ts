/** Where a node's services are is for its log, and not for who asks the node. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { CliProcess } from '../support/cli-process.ts'
import { freePort } from '../support/free-port.ts'
import { request } from '../support/http.ts'
import { waitFor } from '../support/wait.ts'

const ASKED = [
  '/-/readyz',
  '/-/cluster',
  '/-/voters',
  '/-/leader',
  '/-/metrics',
  '/?api=storage',
  '/?api=pivot',
  '/?api=info',
  '/?api=state',
]
const TOKEN = 't'.repeat(20)

let node: CliProcess | undefined

beforeAll(prepareBuild, 300_000)
afterEach(() => node?.dispose())

/** A node whose Redis is not there; asks it, with the cluster token or without. */
async function startNode(port: number, ...more: string[]) {
  const redis = `redis://user:secret@localhost:${port}`
  const args = ['--key', 'a', '--redis', redis, '--cluster-token', TOKEN, ...more]
  node = new CliProcess(['serve', '--port', '0', '--memory', ...args])
  const [, url = ''] = await node.output(/serving (http:\S+)/)
  return async (path: string, token?: string): Promise<string> => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    return (await request('GET', `${url}${path}`, { headers })).body
  }
}

async function expectNoAddress(ask: (path: string) => Promise<string>, port: number) {
  for (const path of ASKED) {
    expect(await ask(path), path).not.toMatch(new RegExp(`${port}|localhost|secret`))
  }
}

describe('a node whose Redis is away tells nobody who asks where that is', () => {
  it('but its log and those who show the cluster token', async () => {
    const port = await freePort()
    const ask = await startNode(port, '--leader', 'redis')
    const logged = new RegExp(`the lease gives no answer.*localhost:${port}`)
    await waitFor(() => logged.test(node?.stderr ?? ''))
    await waitFor(async () => (await ask('/-/readyz')).includes('ECONNREFUSED'))
    await expectNoAddress(ask, port)
    expect(await ask('/-/cluster', TOKEN)).toContain(`redis://localhost:${port}`)
  })
})
