/** One data folder that two nodes run from: the leader lets one of them in, and says so everywhere. */
import { cp } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CliProcess } from '../support/cli-process.ts'
import { request } from '../support/http.ts'
import { ProcessCluster, type ProcessNode, waitUntilEqual } from '../support/process-cluster.ts'
import { waitFor } from '../support/wait.ts'

interface Status {
  readonly id: string
  readonly followers: readonly { readonly id: string; readonly name: string }[]
  readonly links: readonly { readonly state: string; readonly outbox: number }[]
  readonly clones: readonly unknown[]
}

let cluster: ProcessCluster
let leader: ProcessNode
let original: ProcessNode
let copy: ProcessNode

beforeEach(async () => {
  cluster = new ProcessCluster()
  leader = await cluster.start({ name: 'leader' })
  original = await cluster.start({ name: 'original', follows: leader })
  await original.post('items/*', 'from before')
  await until(original, ({ links }) => links[0]?.state === 'live' && links[0].outbox === 0)
  await original.stop()
  copy = await cluster.add({ name: 'copy', follows: leader })
  await cp(original.directory, copy.directory, { recursive: true })
})
afterEach(() => cluster.cleanup())

async function statusOf(node: ProcessNode): Promise<Status> {
  return JSON.parse((await node.get('-/cluster')).body) as Status
}

async function until(node: ProcessNode, holds: (status: Status) => boolean): Promise<Status> {
  let last: Status | undefined
  await waitFor(
    async () => {
      last = await statusOf(node)
      return holds(last)
    },
    { what: `a status of ${node.name}`, deadlineMs: 60_000 },
  )
  if (last === undefined) throw new Error('no status')
  return last
}

async function reasonsOf(node: ProcessNode): Promise<string> {
  const { body } = await node.get('-/readyz')
  return (JSON.parse(body) as { reasons: string[] }).reasons.join('\n')
}

/** What both the clone and its leader say names both places. */
async function expectTold(text: () => Promise<string>): Promise<void> {
  const places = [original, copy].map(({ port }) => `127.0.0.1:${port}`)
  await waitFor(
    async () => {
      const told = await text()
      return places.every((place) => told.includes(place))
    },
    { what: `${places.join(' and ')} to be named`, deadlineMs: 60_000 },
  )
}

describe('a copied data folder', () => {
  test('the second node is refused, both are named, and one is counted', async () => {
    await original.start()
    await until(original, ({ links }) => links[0]?.state === 'live')
    await copy.start()
    await expectTold(() => reasonsOf(copy))
    await expectTold(() => reasonsOf(leader))
    await expectTold(async () => (await request('GET', `${leader.url}/?api=pivot`)).body)
    await expectTold(async () => leader.output)
    await expectTold(async () => copy.output)
    for (const node of [leader, copy]) {
      const { stdout } = await new CliProcess(['status', node.url]).ended
      expect(stdout).toMatch(/^attention: .*new-identity/m)
    }
    const { followers } = await statusOf(leader)
    expect(followers.map(({ name }) => name)).toEqual(['original'])
    const lines = leader.output
      .split('\n')
      .filter((line) => line.includes('copies of one data folder'))
    expect(lines).toHaveLength(1)
    expect(leader.output).not.toMatch(/disconnected.*clone/)
    const [one, two] = await Promise.all(
      [1, 2].map((ack) =>
        request('POST', `${leader.url}/items/*?ack=${ack}&ackTimeoutMs=2000`, { body: '"x"' }),
      ),
    )
    expect([one?.status, two?.status]).toEqual([200, 504])
  })

  test('a new identity lets the second node in, with what it wrote meanwhile', async () => {
    await original.start()
    await until(original, ({ links }) => links[0]?.state === 'live')
    await copy.start()
    await expectTold(() => reasonsOf(copy))
    await copy.post('items/*', 'from the copy')
    await copy.post('settings', { by: 'the copy' })
    expect((await statusOf(copy)).links[0]?.outbox).toBeGreaterThan(1)
    const before = (await statusOf(copy)).id

    const command = ['node', 'new-identity', '--data', copy.directory]
    const refused = await new CliProcess(command).ended
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('used by') })

    await copy.stop()
    const renamed = await new CliProcess(command).ended
    expect(renamed).toMatchObject({ code: 0, stderr: '' })
    await copy.start()
    const { id } = await until(copy, ({ links }) => {
      return links[0]?.state === 'live' && links[0].outbox === 0
    })
    expect(id).not.toBe(before)
    expect(renamed.stdout).toContain(id)
    const bodies = await waitUntilEqual([leader, original, copy])
    expect(bodies['items/*']).toContain('from the copy')
    expect(bodies['items/*']).toContain('from before')
    expect(bodies.settings).toContain('the copy')
    const { followers } = await statusOf(leader)
    expect(followers.map(({ name }) => name).sort()).toEqual(['copy', 'original'])
  })

  test('an ordinary restart, also after a kill, is let in at once', async () => {
    await original.start()
    await until(original, ({ links }) => links[0]?.state === 'live')
    for (let i = 0; i < 3; i++) {
      await original.kill()
      await original.start()
      await until(original, ({ links }) => links[0]?.state === 'live')
    }
    expect((await statusOf(leader)).clones).toEqual([])
  })

  test('a copy of the leader is refused by it', async () => {
    await leader.stop()
    const twin = await cluster.add({ name: 'twin', follows: leader })
    await cp(leader.directory, twin.directory, { recursive: true })
    await leader.start()
    await twin.start()
    await waitFor(async () => (await reasonsOf(twin)).includes('new-identity'), {
      what: 'the copy to say what it is',
      deadlineMs: 60_000,
    })
    await waitFor(async () => (await reasonsOf(leader)).includes(`127.0.0.1:${twin.port}`), {
      what: 'the leader to name its copy',
    })
  })
})
