/** What a machine at the edge gets: the unit, the settings, and the script that installs them. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EXIT } from '../cli/command/command.ts'
import { SERVE_SETTINGS, serveConfig, serveVariables } from '../cli/settings/config.ts'
import { OOO_COMMAND, PROJECT_ROOT } from './support/built.ts'
import { CliProcess } from './support/cli-process.ts'
import { request } from './support/http.ts'
import { readProjectFile as read } from './support/manifests.ts'
import { waitFor } from './support/wait.ts'

const SCRIPT = join(PROJECT_ROOT, 'deploy/install.sh')
/** Longest close of a node: its drain (`deadlineMs`, default), and what comes after. */
const CLOSE_SECONDS = 10 + 10

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ooo-edge-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0
}

describe('the systemd unit', () => {
  const unit = read('deploy/systemd/ooo.service')
  const values = (name: string): string[] =>
    [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value]) => value ?? '')

  it('starts the command with flags and variables that it knows', () => {
    const start = values('ExecStart').join()
    expect(start).toMatch(/^@NODE@ (--[\w-]+=?\S* )+@APP@\/dist\/cli\/main\.js serve --config /)
    const flags = start.slice(start.indexOf(' serve ')).match(/--[a-z-]+/g) ?? []
    const known = Object.values(SERVE_SETTINGS).map(({ flag }) => `--${flag}`)
    expect(flags.filter((flag) => !known.includes(flag))).toEqual([])
    const variables = unit.match(/\bOOO_[A-Z_]+/g) ?? []
    expect(variables.filter((name) => !serveVariables().includes(name))).toEqual([])
    const heap = start.match(/--(max|optimize)[\w-]+(=\d+)?/g) ?? []
    expect(spawnSync(process.execPath, [...heap, '-e', '0']).status).toBe(0)
  })

  it('gives the node time to close, starts it again always, and a folder of its own', () => {
    expect(Number(values('TimeoutStopSec')[0])).toBeGreaterThan(CLOSE_SECONDS)
    expect(values('Restart')).toEqual(['always'])
    expect(values('RestartPreventExitStatus')).toEqual([`${EXIT.usage}`])
    expect([values('Type'), values('NotifyAccess')]).toEqual([['notify'], ['all']])
    expect(Number(values('WatchdogSec')[0])).toBeGreaterThanOrEqual(60)
    expect(values('Environment').join(' ')).toContain(`OOO_DATA=%S/${values('StateDirectory')[0]}`)
    expect(values('DynamicUser')).toEqual(['yes'])
    expect(values('ProtectSystem')).toEqual(['strict'])
    expect(values('CapabilityBoundingSet')).toEqual([''])
  })

  it('is understood by systemd, and leaves little open', (context) => {
    if (!hasProgram('systemd-analyze')) context.skip('systemd-analyze is not on PATH')
    const file = join(folder, 'ooo.service')
    const places = { NODE: process.execPath, APP: PROJECT_ROOT, CONFIG: folder }
    const text = unit.replace(
      /@(NODE|APP|CONFIG)@/g,
      (_, name: keyof typeof places) => places[name],
    )
    writeFileSync(file, text)
    const verified = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' })
    expect([verified.stderr, verified.status]).toEqual(['', 0])
    const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=yes', file], {
      encoding: 'utf8',
    })
    expect(Number(/exposure level for \S+ (\d+\.\d+)/.exec(stdout)?.[1])).toBeLessThan(2)
  })
})

describe('edge.yaml', () => {
  it('is a configuration that the command takes: offline first, careful with its disk', () => {
    const flags = new Map([['config', [join(PROJECT_ROOT, 'deploy/edge.yaml')]]])
    const config = serveConfig(
      { flags, positionals: [], help: false },
      { OOO_DATA: '/var/lib/ooo' },
    )
    expect(config).toMatchObject({
      host: '127.0.0.1',
      durability: 'disk',
      keys: ['settings', 'items/*'],
      clusterUrl: 'https://leader.example.org',
    })
  })
})

describe('the scripts', () => {
  for (const name of ['install.sh', 'bundle.sh']) {
    it(`${name} has no fault that shellcheck knows`, (context) => {
      if (!hasProgram('shellcheck')) context.skip('shellcheck is not on PATH')
      const file = join(PROJECT_ROOT, 'deploy', name)
      const result = spawnSync('shellcheck', [file], { encoding: 'utf8' })
      expect([result.stdout, result.status]).toEqual(['', 0])
    })
  }
})

describe('install.sh', () => {
  const at = (path: string): string => join(folder, 'root', path)
  let tarball = ''

  beforeAll(() => {
    tarball = makeTarball('good', (release) => {
      cpSync(dirname(dirname(OOO_COMMAND)), join(release, 'dist'), { recursive: true })
    })
  })

  /** A release as `bundle.sh` packs it, with this checkout's dependencies. */
  function makeTarball(name: string, fill: (release: string) => void): string {
    const release = join(folder, name, 'package')
    mkdirSync(release, { recursive: true })
    cpSync(join(PROJECT_ROOT, 'package.json'), join(release, 'package.json'))
    symlinkSync(join(PROJECT_ROOT, 'node_modules'), join(release, 'node_modules'))
    fill(release)
    const file = join(folder, `ooo-cluster-${name}.tgz`)
    execFileSync('tar', ['-czf', file, '-C', join(folder, name), 'package'])
    return file
  }

  function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync('sh', [SCRIPT, ...args, '--root', join(folder, 'root')], {
      encoding: 'utf8',
      timeout: 120_000,
    })
  }

  const install = (...args: string[]): ReturnType<typeof run> =>
    run('install', '--tarball', tarball, '--node', process.execPath, ...args)

  /** Runs the installed node as the unit does, with `use` while it serves. */
  async function serving(use: (url: string) => Promise<void>): Promise<void> {
    const args = ['serve', '--config', at('etc/ooo/edge.yaml'), '--port', '0']
    const node = new CliProcess([...args, '--data', at('var/lib/ooo')], {
      command: [at('usr/local/bin/ooo')],
    })
    try {
      const [, url = ''] = await node.output(/serving (http:\S+) \(follower of https:\/\/leader/)
      await use(url)
      node.signal('SIGTERM')
      await waitFor(async () => (await node.ended).code === 0, { deadlineMs: 30_000 })
    } finally {
      await node.dispose()
    }
  }

  it('installs a node that serves with no leader in reach, and a unit that names it', async () => {
    expect(install()).toMatchObject({ status: 0, stderr: '' })
    const unit = readFileSync(at('etc/systemd/system/ooo.service'), 'utf8')
    expect(unit).toContain(`ExecStart=${process.execPath} `)
    expect(unit).toContain(
      ` ${at('opt/ooo-cluster/current')}/dist/cli/main.js serve --config ${at('etc/ooo')}`,
    )
    expect(unit).not.toMatch(/@[A-Z]+@/)
    await serving(async (url) => {
      expect((await request('POST', `${url}/settings`, { body: '{"n":1.10}' })).status).toBe(200)
    })
  }, 120_000)

  it('installed again, upgrades: settings and data stay, and the release before is kept', async () => {
    const settings = at('etc/ooo/edge.yaml')
    const own = readFileSync(settings, 'utf8').replace('port: 8800', 'port: 8850')
    writeFileSync(settings, own)
    const first = readlinkSync(at('opt/ooo-cluster/current'))
    expect(install().status).toBe(0)
    const second = readlinkSync(at('opt/ooo-cluster/current'))
    expect(second).not.toBe(first)
    expect(install().status).toBe(0)
    const releases = readdirSync(at('opt/ooo-cluster/releases')).map((name) => `releases/${name}`)
    expect(releases.sort()).toEqual([second, readlinkSync(at('opt/ooo-cluster/current'))].sort())
    expect(readFileSync(settings, 'utf8')).toBe(own)
    await serving(async (url) => {
      expect((await request('GET', `${url}/settings`)).body).toContain('{"n":1.10}')
    })
  }, 120_000)

  it('changes nothing when the release can not be used, or Node is too old', () => {
    const before = readlinkSync(at('opt/ooo-cluster/current'))
    const empty = makeTarball('empty', () => undefined)
    expect(run('install', '--tarball', empty, '--node', process.execPath)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/holds no dist\/cli\/main\.js/),
    })
    const broken = makeTarball('broken', (release) => {
      mkdirSync(join(release, 'dist/cli'), { recursive: true })
      writeFileSync(join(release, 'dist/cli/main.js'), 'process.exit(3)')
    })
    expect(run('install', '--tarball', broken, '--node', process.execPath)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/does not run/),
    })
    const old = join(folder, 'old-node')
    writeFileSync(old, '#!/bin/sh\n[ "$1" = --version ] && echo v18.0.0\nexit 1\n')
    chmodSync(old, 0o755)
    expect(run('install', '--tarball', tarball, '--node', old)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/needs 20\.19 or newer/),
    })
    expect(readlinkSync(at('opt/ooo-cluster/current'))).toBe(before)
    expect(readdirSync(at('opt/ooo-cluster/releases')).filter((name) => /^new/.test(name))).toEqual(
      [],
    )
  }, 120_000)

  it('uninstalls and keeps data and settings, until it is told to purge', async () => {
    expect(run('uninstall').status).toBe(0)
    expect(existsSync(at('opt/ooo-cluster'))).toBe(false)
    expect(existsSync(at('usr/local/bin/ooo'))).toBe(false)
    expect(existsSync(at('etc/systemd/system/ooo.service'))).toBe(false)
    expect(run('uninstall').status).toBe(0)
    expect(install().status).toBe(0)
    await serving(async (url) => {
      expect((await request('GET', `${url}/settings`)).body).toContain('{"n":1.10}')
    })
    expect(run('uninstall', '--purge').status).toBe(0)
    expect(existsSync(at('var/lib/ooo'))).toBe(false)
    expect(existsSync(at('etc/ooo'))).toBe(false)
  }, 120_000)

  it('says what it does not understand', () => {
    expect(run()).toMatchObject({ status: 1 })
    expect(run('install', '--nope').stderr).toBe('install.sh: --nope: not understood\n')
  })
})
