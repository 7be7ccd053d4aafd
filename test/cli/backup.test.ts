import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { LevelStorage } from '../../storage-adapters/leveldb/leveldb.ts'
import { OOO_COMMAND } from '../support/built.ts'
import { runCli } from '../support/cli-process.ts'
import { BackupBench, contentsOf, KO_FIXTURE } from './backup-bench.ts'

const bench = BackupBench.use()

describe('ooo backup and ooo restore', () => {
  it('bring a node back as it was, without touching the folder that is read', async () => {
    const answers = await bench.makeData('old')
    const before = await contentsOf(bench.at('old'))
    const made = await bench.ooo('backup', '--data', 'old', 'all.ooo')
    expect(made).toMatchObject({ code: 0, stdout: '' })
    expect(made.stderr).toMatch(/^ooo: all\.ooo: 51 entries and 1 tombstone, \d/)
    expect(await contentsOf(bench.at('old'))).toEqual(before)
    expect(await bench.ooo('restore', 'all.ooo', '--data', 'new')).toMatchObject({
      code: 0,
      stderr: 'ooo: all.ooo: restored into new: 52 records applied\n',
    })
    expect(await bench.answersFrom('new')).toEqual(answers)
    // Nothing of it is taken for damaged either.
    expect((await bench.ooo('backup', '--data', 'new', 'again.ooo')).code).toBe(0)
  })

  it('do the same by lines for people, which may be edited', async () => {
    await bench.makeData('old')
    expect(
      (await bench.ooo('backup', '--data', 'old', '--format', 'jsonl', 'all.jsonl')).code,
    ).toBe(0)
    const text = await readFile(bench.at('all.jsonl'), 'utf8')
    const line = text.split('\n').find((found) => found.startsWith('{"key":"settings"'))
    expect(line).toMatch(
      /"data":\{"big":12345678901234567890,"exact":1\.10\},"crc":"[0-9a-f]{8}"\}$/,
    )
    expect(text).toMatch(/^\{"key":"gone","deleted":\d{19},"origin":"\w+","crc":"\w{8}"\}$/m)
    const changed = text.replace('"exact":1.10', '"exact":2.20')
    await writeFile(bench.at('changed.jsonl'), changed)
    const named = await bench.ooo('restore', 'changed.jsonl', '--data', 'new')
    expect(named.stderr).toMatch(/line \d+ at byte \d+ is no record: it was changed/)
    await writeFile(bench.at('edited.jsonl'), changed.replace(/("exact":2.20\}),"crc":"\w+"/, '$1'))
    const refused = await bench.ooo('restore', 'edited.jsonl', '--data', 'new')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('lines were added, lost or changed')
    expect(existsSync(bench.at('new'))).toBe(false)
    expect((await bench.ooo('restore', '--salvage', 'edited.jsonl', '--data', 'new')).code).toBe(1)
    expect((await bench.answersFrom('new')).settings).toContain(
      '"data":{"big":12345678901234567890,"exact":2.20}',
    )
  })

  it('work through pipes', async () => {
    const answers = await bench.makeData('old')
    const script =
      'set -e -o pipefail; "$1" "$2" backup --data old - | "$1" "$2" restore - --data new'
    const piped = await runCli([], {
      cwd: bench.folder,
      command: ['bash', '-c', script, 'bash', process.execPath, OOO_COMMAND],
    })
    expect(piped.code, piped.stderr).toBe(0)
    expect(await bench.answersFrom('new')).toEqual(answers)
  })

  it('leave a file that is there alone, unless forced', async () => {
    await bench.makeData('old', 1)
    await writeFile(bench.at('all.ooo'), 'precious')
    const refused = await bench.ooo('backup', '--data', 'old', 'all.ooo')
    expect(refused).toMatchObject({ code: 1 })
    expect(refused.stderr).toContain('--force replaces it')
    expect(await readFile(bench.at('all.ooo'), 'utf8')).toBe('precious')
    expect((await bench.ooo('backup', '--force', '--data', 'old', 'all.ooo')).code).toBe(0)
    expect((await bench.ooo('verify', 'all.ooo')).code).toBe(0)
  })

  it('name what is damaged in the data, keep the rest, and do not call it done', async () => {
    await bench.makeData('old')
    const storage = new LevelStorage({ directory: bench.at('old') })
    await storage.open()
    await storage.batch([
      { type: 'put', key: 'e/items/5', value: 'junk' },
      { type: 'del', key: 'e/items/6' },
    ])
    await storage.close()
    const made = await bench.ooo('backup', '--data', 'old', 'all.ooo')
    expect(made.code).toBe(1)
    expect(made.stderr).toMatch(/^ooo: all\.ooo: 49 entries and 1 tombstone/)
    expect(made.stderr).toMatch(/the data is damaged: .*left out of the backup: .*items\/5/)
    expect(made.stderr).toMatch(
      /the data is damaged: .*50 records are readable where 52 were written/,
    )
    const { code, stdout } = await bench.ooo('verify', 'all.ooo')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^left out +.*items\/5/m)
  })

  it('say which data is meant', async () => {
    expect((await bench.ooo('backup', 'x')).stderr).toContain('give --data DIR')
    const both = await bench.ooo('backup', '--data', 'a', '--url', 'localhost:1', 'x')
    expect(both).toMatchObject({ code: 2 })
    expect(both.stderr).toContain('--data and --url both name data')
    const env = { OOO_DATA: bench.at('old'), OOO_URL: 'http://127.0.0.1:1' }
    await bench.makeData('old', 1)
    // A flag is stronger than both variables.
    const made = await runCli(['backup', '--data', 'old', 'x'], { cwd: bench.folder, env })
    expect(made.code, made.stderr).toBe(0)
    expect((await bench.ooo('backup', '--data', 'nowhere', 'y')).stderr).toContain(
      'nowhere: no such folder',
    )
    expect((await bench.ooo('backup', '--data', KO_FIXTURE, 'y')).stderr).toContain(
      'ooo import --from-ko',
    )
  })
})

describe('ooo verify', () => {
  it('tells what a backup holds', async () => {
    await bench.makeData('old')
    await bench.ooo('backup', '--data', 'old', 'all.ooo')
    const { code, stdout, stderr } = await bench.ooo('verify', 'all.ooo')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^made +\d{4}-\d\d-\d\dT\S+ by ooo-cluster \d/m)
    expect(stdout).toMatch(/^as of +commit 53 of epoch \w+$/m)
    expect(stdout).toMatch(/^entries +51$/m)
    expect(stdout).toMatch(/^tombstones +1$/m)
    expect(stdout).toMatch(/^first key +gone$/m)
    expect(stdout).toMatch(/^whole: every checksum matches$/m)
  })

  it('tells what is damaged, and what can still be read', async () => {
    await bench.makeData('old', 6000)
    await bench.ooo('backup', '--data', 'old', 'all.ooo')
    const bytes = await readFile(bench.at('all.ooo'))
    const middle = Math.floor(bytes.length / 2)
    bytes[middle] = (bytes[middle] ?? 0) ^ 1
    await writeFile(bench.at('bad.ooo'), bytes)
    const bad = await bench.ooo('verify', 'bad.ooo')
    expect(bad.code).toBe(1)
    expect(bad.stderr).toMatch(
      /^ooo: bad\.ooo: block \d+ at byte \d+ does not match its checksum; keys after "items\/\d+" are lost$/m,
    )
    expect(bad.stdout).toMatch(/^damaged: \d,\d+ of 6,002 records can be read/m)
    const refused = await bench.ooo('restore', 'bad.ooo', '--data', 'new')
    expect(refused.code).toBe(1)
    expect(existsSync(bench.at('new'))).toBe(false)
    const salvaged = await bench.ooo('restore', '--salvage', 'bad.ooo', '--data', 'new')
    expect(salvaged.code).toBe(1)
    expect(salvaged.stderr).toContain('the backup was not whole')

    await writeFile(bench.at('cut.ooo'), bytes.subarray(0, 1000))
    expect((await bench.ooo('verify', 'cut.ooo')).stderr).toContain('cut off at byte 1000')
    await writeFile(bench.at('no.ooo'), 'a letter')
    expect((await bench.ooo('verify', 'no.ooo')).stderr).toContain('this is no backup')
    expect((await bench.ooo('verify', 'none.ooo')).stderr).toContain('none.ooo: no such file')
  })
})
