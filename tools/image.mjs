/**
 * `npm run image`: builds the image of a node, deploy/Dockerfile, from the built `dist` and the
 * locked production dependencies. Only npm may ask a registry; the build of the image itself runs without a
 * network. The last line of the output is the image's tag.
 *
 *   npm run image -- [--tag NAME:TAG] [--base IMAGE] [--arch amd64|arm64]
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import * as path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { withLock } from './lock.mjs'

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const DEPLOY = path.join(ROOT, 'deploy')
/** npm's names of the processors that the engines name otherwise. */
const NPM_CPU = { amd64: 'x64', arm64: 'arm64' }

class StepFailed extends Error {}

try {
  const options = readOptions()
  await withLock(path.join(tmpdir(), 'ooo-image.lock'), say, async () => buildImage(options))
  process.stdout.write(`${options.tag}\n`)
} catch (error) {
  process.stderr.write(`image: ${error instanceof StepFailed ? error.message : error.stack}\n`)
  process.exitCode = 1
}

function readOptions() {
  const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'))
  const host = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const { values } = parse()
  const { tag = `ooo-cluster:${version}`, base, arch = host } = values
  if (NPM_CPU[arch] === undefined) throw new StepFailed(`--arch ${arch}: not one of amd64, arm64`)
  return { tag, base, arch, version }
}

function parse() {
  const text = { type: 'string' }
  try {
    return parseArgs({ options: { tag: text, base: text, arch: text } })
  } catch (error) {
    throw new StepFailed(error.message)
  }
}

function buildImage({ tag, base, arch, version }) {
  const dist = path.join(ROOT, 'dist')
  if (!fs.existsSync(path.join(dist, '.prepared')))
    throw new StepFailed('run "npm run build" first')
  const context = fs.mkdtempSync(path.join(tmpdir(), 'ooo-image-'))
  try {
    prepareContext(path.join(context, 'app'), dist, arch)
    const labels = { VERSION: version, ...describeSources() }
    if (base !== undefined) labels.BASE = base
    say(`building ${tag}`)
    run('docker', [
      'build',
      ...['--file', path.join(DEPLOY, 'Dockerfile'), '--tag', tag],
      ...['--network', 'none', '--platform', `linux/${arch}`],
      ...Object.entries(labels).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
      context,
    ])
  } finally {
    fs.rmSync(context, { recursive: true, force: true })
  }
}

/** Everything the image holds beside its base. */
function prepareContext(app, dist, arch) {
  fs.mkdirSync(app)
  for (const file of ['package.json', 'package-lock.json']) {
    fs.copyFileSync(path.join(ROOT, file), path.join(app, file))
  }
  say('installing production dependencies')
  const target = ['--os=linux', `--cpu=${NPM_CPU[arch]}`, '--libc=glibc']
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  run('npm', ['ci', '--omit=dev', '--prefer-offline', ...target, ...quiet], app)
  fs.cpSync(dist, path.join(app, 'dist'), { recursive: true, filter: isOfUse })
  fs.copyFileSync(path.join(DEPLOY, 'healthcheck.mjs'), path.join(app, 'healthcheck.mjs'))
  fs.rmSync(path.join(app, 'package-lock.json'))
  removeForeignBinaries(path.join(app, 'node_modules'), NPM_CPU[arch])
  makeReadable(app)
}

/** The image runs the command; it is no place to compile against. */
function isOfUse(file) {
  return !/\.d\.ts(\.map)?$|\/\.prepared$/.test(file)
}

/** Packages that ship a binary for every system keep the one of the image. */
function removeForeignBinaries(modules, cpu) {
  for (const name of fs.readdirSync(modules)) {
    const prebuilds = path.join(modules, name, 'prebuilds')
    if (!fs.existsSync(prebuilds)) continue
    for (const platform of fs.readdirSync(prebuilds)) {
      if (platform !== `linux-${cpu}`) {
        fs.rmSync(path.join(prebuilds, platform), { recursive: true, force: true })
      }
    }
  }
}

/** The same modes whatever the umask of who builds. */
function makeReadable(folder) {
  fs.chmodSync(folder, 0o755)
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) makeReadable(file)
    else if (entry.isFile()) fs.chmodSync(file, fs.statSync(file).mode & 0o100 ? 0o755 : 0o644)
  }
}

/** Commit and its time, for the labels; the time that SOURCE_DATE_EPOCH names comes first. */
function describeSources() {
  const revision = git('rev-parse', 'HEAD') ?? 'unknown'
  const changed = git('status', '--porcelain') !== ''
  const seconds = process.env.SOURCE_DATE_EPOCH ?? git('log', '-1', '--format=%ct')
  return {
    REVISION: changed && revision !== 'unknown' ? `${revision}-changed` : revision,
    CREATED: seconds === undefined ? 'unknown' : new Date(Number(seconds) * 1000).toISOString(),
  }
}

function git(...args) {
  const { status, stdout } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

/** Runs a tool; what it printed is shown when it fails. */
function run(command, args, cwd = ROOT) {
  const options = { cwd, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }
  const { status, error, stdout, stderr } = spawnSync(command, args, options)
  if (error?.code === 'ENOENT') throw new StepFailed(`${command} is needed and was not found`)
  if (status === 0) return
  throw new StepFailed(`${command} ${args[0]} failed (${error ?? status}):\n${stdout}${stderr}`)
}

function say(line) {
  process.stderr.write(`image: ${line}\n`)
}
