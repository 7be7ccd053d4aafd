/** `ooo serve` on a disk that is full when it starts. Linux, as root. */
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { CliProcess } from '../support/cli-process.ts'
import { freePort } from '../support/free-port.ts'
import { request } from '../support/http.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { waitFor } from '../support/wait.ts'

const disk = SmallDisk.mount(6 * 1024 * 1024)
if (disk === undefined) console.log('skipped: a full disk: only root may mount a small one')

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
