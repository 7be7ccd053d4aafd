import { existsSync } from 'node:fs'
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { runCli } from '../support/cli-process.ts'
import { waitFor } from '../support/wait.ts'
import { BackupBench, contentsOf, KO_FIXTURE, read, write } from './backup-bench.ts'

const bench = BackupBench.use()

describe('a running node', () => {
  it('is backed up and restored by its URL, not by its folder', async () => {
    const running = await bench.startNode('data')
    for (const key of ['a', 'b', 'c']) await write(running.url, key, `"${key}"`)
    const refused = await bench.ooo('backup', '--data', 'data', 'x.ooo')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('used by another process; back up a running node with --url')
    expect(await readdir(bench.at('data'))).not.toContainEqual(expect.stringMatching(/^\.snapshot/))
    const forced = await bench.ooo('restore', '--force', '/dev/null', '--data', 'data')
    expect(forced).toMatchObject({ code: 2 })
    expect((await bench.ooo('backup', running.url, 'x.ooo')).code).toBe(0)
    const taken = await bench.ooo('restore', '--force', 'x.ooo', '--data', 'data')
    expect(taken.code).toBe(1)
    expect(taken.stderr).toContain('is in use by a node')

    await write(running.url, 'b', '"newer"')
    await fetch(`${running.url}/c`, { method: 'DELETE' })
    const merged = await bench.ooo('restore', 'x.ooo', '--url', running.url)
    expect(merged.code, merged.stderr).toBe(0)
    expect(merged.stderr).toMatch(
      /0 records applied, 1 was there already, 2 were superseded by newer ones\n$/,
    )
    expect(await read(running.url, 'b')).toContain('"newer"')
    expect((await fetch(`${running.url}/c`)).status).toBe(404)

    const fresh = await bench.startNode('fresh')
    expect((await bench.ooo('restore', fresh.url, 'x.ooo')).stderr).toContain('3 records applied')
    expect(await read(fresh.url, 'c')).toContain('"c"')
  })

  it('takes nothing of a damaged backup, unless told to', async () => {
    await bench.makeData('old', 10)
    await bench.ooo('backup', '--data', 'old', '--format', 'jsonl', 'all.jsonl')
    const text = await readFile(bench.at('all.jsonl'), 'utf8')
    await writeFile(bench.at('bad.jsonl'), text.replace('"key":"items/4"', '"kex":"items/4"'))
    const { url } = await bench.startNode('new')
    const refused = await bench.ooo('restore', 'bad.jsonl', '--url', url)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(
      /bad\.jsonl: line \d+ at byte \d+ is no record: .*nothing was merged/,
    )
    expect(await read(url, 'items/*')).toBe('[]')
    const salvaged = await bench.ooo('restore', '--salvage', 'bad.jsonl', '--url', url)
    expect(salvaged.code).toBe(1)
    expect(salvaged.stderr).toContain('11 records applied')
    expect(salvaged.stderr).toContain('1 damaged place passed over')
    expect(JSON.parse(await read(url, 'items/*'))).toHaveLength(9)
  })

  it('asks for the cluster token when it has one', async () => {
    const env = { OOO_CLUSTER_TOKEN: 'hush-hush' }
    const { url } = await bench.startNode('data', ['--key', 'items/*'], { env })
    for (const args of [
      ['backup', '--url', url, 'x.ooo'],
      ['import', '--from-ko', KO_FIXTURE, '--url', url],
    ]) {
      const refused = await bench.ooo(...args)
      expect(refused.code).toBe(1)
      expect(refused.stderr).toContain('OOO_CLUSTER_TOKEN')
      expect(existsSync(bench.at('x.ooo'))).toBe(false)
    }
    const made = await runCli(['backup', '--url', url, 'x.ooo'], { cwd: bench.folder, env })
    expect(made.code, made.stderr).toBe(0)
  })

  it('that dies in the middle leaves no file behind', async () => {
    const { node, url } = await bench.startNode('data')
    for (let i = 0; i < 60; i++) await write(url, `big/${i}`, JSON.stringify('x'.repeat(500_000)))
    const command = bench.start(['backup', '--format', 'jsonl', '--url', url, 'x.jsonl'])
    let hasEnded = false
    void command.ended.then(() => {
      hasEnded = true
    })
    const hasBegun = async (): Promise<boolean> =>
      (await readdir(bench.folder)).some((name) => name.includes('.partial-'))
    await waitFor(async () => (await hasBegun()) || hasEnded, {
      intervalMs: 1,
      deadlineMs: 60_000,
    })
    node.signal('SIGKILL')
    const { code, stderr } = await command.ended
    // It may have been quick enough; what never may be is half a file under the name.
    if (code === 0) expect((await bench.ooo('verify', 'x.jsonl')).code).toBe(0)
    else expect(existsSync(bench.at('x.jsonl'))).toBe(false)
    const left = (await readdir(bench.folder)).filter((name) => name.includes('partial'))
    expect(left, `exit code ${code}: ${stderr}`).toEqual([])
  })
})

describe('ooo import', () => {
  it('makes a node of the folder of a Go server, and leaves that as it is', async () => {
    const before = await contentsOf(KO_FIXTURE)
    const done = await bench.ooo('import', '--from-ko', KO_FIXTURE, '--data', 'new')
    expect(done.code).toBe(1)
    expect(done.stderr).toContain('left out "broken/nodata": it has no "data"')
    expect(done.stderr).toContain('303 records applied')
    expect(done.stderr).toContain(
      '7 rows are no entries and were left out; all others are imported',
    )
    expect(await contentsOf(KO_FIXTURE)).toEqual(before)
    const { url } = await bench.startNode('new')
    expect(await read(url, 'settings')).toBe(
      String.raw`{"created":1700000000123456789,"updated":1700000000123456796,"index":"settings","path":"settings","data":{"big":12345678901234567890,"exact":1.10,"html":"\u003cb\u003e\u0026\u003c/b\u003e","ü":"\u2028"}}`,
    )
    expect(JSON.parse(await read(url, 'items/*'))).toHaveLength(300)
    const again = await bench.ooo('import', '--from-ko', KO_FIXTURE, '--url', url)
    expect(again.stderr).toContain('0 records applied, 303 were there already')
  })

  it('tells when the folder itself is damaged, and takes what is intact', async () => {
    await cp(KO_FIXTURE, bench.at('db'), { recursive: true })
    const table = bench.at('db/000002.ldb')
    const bytes = await readFile(table)
    // A flipped bit would be set right: this is more than that.
    bytes.fill(0xff, 2000, 2100)
    await writeFile(table, bytes)
    const done = await bench.ooo('import', '--from-ko', 'db', '--data', 'new')
    expect(done.code).toBe(1)
    expect(done.stderr).toContain('the data is damaged, what is intact is imported')
    const count = Number(/: ([\d,]+) records applied/.exec(done.stderr)?.[1])
    expect(count).toBeGreaterThan(0)
    expect(count).toBeLessThan(303)
    expect(await readFile(table)).toEqual(bytes)
  })

  it('refuses what it cannot read', async () => {
    await bench.makeData('own', 1)
    const own = await bench.ooo('import', '--from-ko', 'own', '--data', 'new')
    expect(own).toMatchObject({ code: 2 })
    expect(own.stderr).toContain('not of a Go server')
    expect(
      (await bench.ooo('import', '--from-ko', bench.folder, '--data', 'new')).stderr,
    ).toContain('holds no database')
    expect((await bench.ooo('import', '--data', 'new')).stderr).toContain('give --from-ko DIR')
    expect(existsSync(bench.at('new'))).toBe(false)
  })
})
