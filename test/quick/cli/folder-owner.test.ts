/** What root makes in a folder of somebody else. */
import { chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { giveToOwnerOf } from '../../../cli/offline/folder-owner.ts'
import { restoreFolder } from '../../../cli/offline/restore-folder.ts'

/** Of nobody here. */
const OWNER = 61_234
const isRoot = process.getuid?.() === 0

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ooo-owner-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const ownerOf = (...path: string[]): number => statSync(join(folder, ...path)).uid

it.skipIf(!isRoot)('a folder is given away with all that is in it', async () => {
  mkdirSync(join(folder, 'his'))
  chownSync(join(folder, 'his'), OWNER, OWNER)
  mkdirSync(join(folder, 'made', 'inner'), { recursive: true })
  writeFileSync(join(folder, 'made', 'inner', 'file'), '')
  await giveToOwnerOf(join(folder, 'his'), join(folder, 'made'))
  expect([ownerOf('made'), ownerOf('made', 'inner'), ownerOf('made', 'inner', 'file')]).toEqual([
    OWNER,
    OWNER,
    OWNER,
  ])
  expect(statSync(join(folder, 'made')).gid).toBe(OWNER)
})

it.skipIf(!isRoot)('a restore as root leaves the folder to the service that owns it', async () => {
  const directory = join(folder, 'data')
  mkdirSync(directory)
  writeFileSync(join(directory, 'old'), '')
  chownSync(directory, OWNER, OWNER)
  chownSync(join(directory, 'old'), OWNER, OWNER)
  const { aside = '' } = await restoreFolder({
    directory,
    force: true,
    now: new Date(0),
    build: async (work) => writeFileSync(join(work, 'CURRENT'), ''),
  })
  expect([ownerOf('data', 'CURRENT'), statSync(aside).uid]).toEqual([OWNER, OWNER])
  expect(statSync(join(aside, 'old')).uid).toBe(OWNER)
})
