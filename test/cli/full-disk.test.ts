/** `ooo serve` on a disk that is full when it starts. Linux, as root. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { prepareBuild } from '../support/built.ts'
import { CliProcess } from '../support/cli-process.ts'
import { freePort } from '../support/free-port.ts'
import { request } from '../support/http.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { waitFor } from '../support/wait.ts'

const disk = SmallDisk.mount(6 * 1024 * 1024)
if (disk === undefined) console.log('skipped: a full disk: only root may mount a small one')

beforeAll(prepareBuild, 300_000)
afterAll(() => disk?.unmount())

describe.skipIf(disk === undefined)('a node that is started on a full disk', () => {
  it('waits for room, and then serves what it had', { timeout: 60_000 }, async () => {
    const port = await freePort()
    const data = join(disk?.directory ?? '', 'data')
    const args = ['serve', '--port', String(port), '--data', data]
    const url = `http://127.0.0.1:${port}`
    const first = new CliProcess(args)
    await first.output(/serving http/)
    const body = JSON.stringify('x'.repeat(100_000))
    for (const key of ['a', 'b', 'c']) {
      expect((await request('POST', `${url}/${key}`, { body })).status).toBe(200)
    }
    first.signal('SIGTERM')
    await first.ended
    await disk?.fill()
    const second = new CliProcess(args)
    try {
      await waitFor(() => second.stderr.includes('there is no room to start: waiting for it'))
      await disk?.clear()
      await second.output(/serving http/)
      expect((await request('GET', `${url}/a`)).body).toContain(body)
    } finally {
      await second.dispose()
    }
  })
})

const large = SmallDisk.mount(64 * 1024 * 1024)
afterAll(() => large?.unmount())

/** What `GET /-/readyz` gives as reasons. */
async function reasonsOf(url: string): Promise<string> {
  const { reasons } = JSON.parse((await request('GET', `${url}/-/readyz`)).body)
  return (reasons as string[]).join('; ')
}

describe.skipIf(large === undefined)('a node that was killed on a disk without any room', () => {
  it.each(['single', 'leader'])(
    'serves reads when it is started, and writes again without a restart once there is room (%s)',
    async (role) => {
      const port = await freePort()
      const data = join(large?.directory ?? '', role)
      const keys = role === 'leader' ? ['--key', 'a', '--key', 'items/*'] : []
      const args = ['serve', '--port', String(port), '--data', data, ...keys]
      const url = `http://127.0.0.1:${port}`
      const first = new CliProcess(args)
      await first.output(/serving http/)
      const body = JSON.stringify('x'.repeat(100_000))
      expect((await request('POST', `${url}/a`, { body })).status).toBe(200)
      await large?.fill()
      // What is left of the last page of a log goes too.
      const write = async (): Promise<number> =>
        (await request('POST', `${url}/items/${Date.now()}`, { body })).status
      await waitFor(async () => (await write()) === 507)
      await large?.fill()
      await first.dispose()
      const second = new CliProcess(args)
      try {
        await second.output(/serving http/)
        expect((await request('GET', `${url}/a`)).body).toContain(body)
        expect((await request('GET', `${url}/items/*`)).status).toBe(200)
        expect(await reasonsOf(url)).toMatch(/writes are refused: .*no space/)
        for (let i = 0; i < 3; i++) {
          const refused = await request('POST', `${url}/items/more`, { body: '1' })
          expect([refused.status, refused.body]).toEqual([507, expect.stringMatching(/no space/)])
        }
        await large?.clear()
        const again = async (): Promise<boolean> =>
          (await request('POST', `${url}/items/more`, { body: '1' })).status === 200
        await waitFor(again, { deadlineMs: 20_000 })
        expect(await reasonsOf(url)).not.toMatch(/writes are refused/)
        // The reserve is there again for the next time.
        await large?.fill()
      } finally {
        await second.dispose()
      }
      const third = new CliProcess(args)
      try {
        await third.output(/serving http/)
        expect((await request('GET', `${url}/items/more`)).status).toBe(200)
      } finally {
        await third.dispose()
        await large?.clear()
      }
    },
    120_000,
  )
})
