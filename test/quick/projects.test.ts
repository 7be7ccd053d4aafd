/** The projects of tests: each test file is in one, and `quick` keeps to what its name says. */
import { existsSync, readdirSync } from 'node:fs'
import { join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PROJECTS, testsOf } from '../../vitest.config.ts'
import { loadSources } from '../support/architecture.ts'
import { slowImports } from '../support/quick-rules.ts'

const ROOT = join(import.meta.dirname, '../..')

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name)
    if (entry.isDirectory()) return filesBelow(path)
    return [path]
  })
}

/** A pattern of the two forms that the projects use, as an expression. */
function expressionOf(pattern: string): RegExp {
  const parts = pattern
    .split('**/')
    .map((part) => part.replaceAll('.', '\\.').replaceAll('*', '[^/]+'))
  return new RegExp(`^${parts.join('(?:[^/]+/)*')}$`)
}

function projectsOf(path: string): string[] {
  return Object.keys(PROJECTS).filter((name) =>
    testsOf(name).some((pattern) => expressionOf(pattern).test(path)),
  )
}

/** Test files that are not in exactly one project. */
function misplaced(paths: readonly string[], of = projectsOf): string[] {
  return paths
    .filter((path) => of(path).length !== 1)
    .map((path) => `${path} is in ${of(path).join(' and ') || 'no project'}`)
}

const testFiles = filesBelow('test').filter((path) => /\.(test|spec)\.[cm]?tsx?$/.test(path))

describe('the projects of tests', () => {
  it('have each test file exactly once', () => {
    expect(testFiles.length).toBeGreaterThan(300)
    expect(misplaced(testFiles)).toEqual([])
  })

  it('name only folders that exist', () => {
    const folders = Object.values(PROJECTS)
      .flat()
      .filter((folder) => folder !== '*')
    expect(folders.filter((folder) => !existsSync(join(ROOT, 'test', folder)))).toEqual([])
  })

  it('are found by folder, and a file outside of them or in two is named', () => {
    expect(projectsOf('test/quick/a/b.test.ts')).toEqual(['quick'])
    expect(projectsOf('test/quick/b.test.ts')).toEqual(['quick'])
    expect(projectsOf('test/b.test.ts')).toEqual(['system'])
    expect(misplaced(['test/elsewhere/b.test.ts', 'src/b.test.ts'])).toEqual([
      'test/elsewhere/b.test.ts is in no project',
      'src/b.test.ts is in no project',
    ])
    expect(misplaced(['test/a.test.ts'], () => ['quick', 'server'])).toEqual([
      'test/a.test.ts is in quick and server',
    ])
  })

  it('are of folders that can be taken in at one look', () => {
    const counts = new Map<string, number>()
    for (const path of testFiles) {
      counts.set(posix.dirname(path), (counts.get(posix.dirname(path)) ?? 0) + 1)
    }
    expect([...counts].filter(([, count]) => count > 20)).toEqual([])
  })
})

describe('a quick test', () => {
  it('imports nothing that opens a socket, starts a process or waits, itself or through other files of the tests', () => {
    const quick = testFiles.filter((path) => path.startsWith('test/quick/'))
    expect(quick.length).toBeGreaterThan(100)
    expect(slowImports(quick, loadSources(ROOT, ['test']))).toEqual([])
  })

  it('is found out when it does', () => {
    const files = [
      { path: 'test/quick/a.test.ts', text: "import { b } from '../support/b.ts'\nimport 'ws'" },
      { path: 'test/support/b.ts', text: "import './c.ts'\nimport 'node:fs'" },
      { path: 'test/support/c.ts', text: "import { spawn } from 'node:child_process'" },
    ]
    expect(slowImports(['test/quick/a.test.ts'], files)).toEqual([
      'test/quick/a.test.ts: imports ws',
      'test/quick/a.test.ts → test/support/b.ts → test/support/c.ts: imports node:child_process',
    ])
    expect(slowImports(['test/support/b.ts'], files.slice(0, 2))).toEqual([])
  })

  it('can not open a socket, start a process or a thread, whichever module does it', async () => {
    const { connect, createServer } = process.getBuiltinModule('node:net')
    const { execFileSync, spawn, spawnSync, exec } = process.getBuiltinModule('node:child_process')
    const { Worker } = process.getBuiltinModule('node:worker_threads')
    const { createSocket } = process.getBuiltinModule('node:dgram')
    for (const action of [
      () => connect(1),
      () => createServer().listen(0),
      () => createSocket('udp4').bind(0),
      () => spawn('true'),
      () => exec('true'),
      () => spawnSync('true'),
      () => execFileSync('true'),
      () => new Worker('0', { eval: true }),
    ]) {
      expect(action).toThrow('a test of the project "quick" may not')
    }
    await expect(fetch('http://127.0.0.1:1')).rejects.toThrow('fetch failed')
  })
})
