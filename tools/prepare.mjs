/**
 * Makes a checkout ready to run: checks Node, installs the locked dependencies, builds `dist`.
 * Runs before `node_modules` exists, so it uses nothing but Node. Does nothing, and says nothing,
 * when everything is up to date.
 *
 * What is up to date is decided by content, never by time: `node_modules/.prepared` holds the
 * hash of the lock file it was installed from, `dist/.prepared` the hash of the sources it was
 * built from. Both are written last, so whatever was interrupted is done again.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { fileURLToPath } from 'node:url'
import { withLock } from './lock.mjs'

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const OLDEST_NODE = [20, 19]
/** Folders and files whose content decides what `dist` is. */
const SOURCES = [
  'src',
  'cluster',
  'backup',
  'storage-adapters',
  'postgres',
  'cli',
  'ui',
  'test/conformance',
  'tsconfig.json',
  'tsconfig.build.json',
  'package-lock.json',
]

/** A step that failed; `output` is what its tool printed. */
class StepFailed extends Error {
  constructor(message, output = '') {
    super(message)
    this.output = output
  }
}

/** Keeps others out until a child process has ended, even when this process is killed. */
let guardChild = (_pid) => undefined

await main()

async function main() {
  try {
    checkNode()
    if (installed() && built()) return
    await withLock(path.join(ROOT, '.prepare.lock'), say, async (guard) => {
      guardChild = guard
      if (!installed()) await install()
      if (!built()) await build()
    })
  } catch (error) {
    if (error instanceof StepFailed && error.output !== '') process.stderr.write(error.output)
    process.stderr.write(`prepare: ${error instanceof StepFailed ? error.message : error.stack}\n`)
    process.exitCode = 1
  }
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return
  throw new StepFailed(
    `Node.js ${OLDEST_NODE.join('.')} or later is needed, this is ${process.versions.node} (${process.execPath})`,
  )
}

// --- dependencies ---

/** The stamp also holds the platform, because native dependencies differ between them. */
function installStamp() {
  const hash = createHash('sha256').update(fs.readFileSync(path.join(ROOT, 'package-lock.json')))
  // npm rewrites its own record at every install and prune, so a later `npm prune` shows here.
  hash.update(readIfThere('node_modules/.package-lock.json') ?? '')
  return `${hash.digest('hex')} ${process.platform}-${process.arch}\n`
}

function installed() {
  const stamp = readIfThere('node_modules/.prepared')
  if (stamp !== undefined && stamp === installStamp()) return true
  if (stamp !== undefined || !installedByHand()) return false
  fs.writeFileSync(path.join(ROOT, 'node_modules/.prepared'), installStamp())
  return true
}

/** Whether a plain `npm ci` or `npm install` has put every locked package in place. */
function installedByHand() {
  const record = readIfThere('node_modules/.package-lock.json')
  if (record === undefined) return false
  const wanted = JSON.parse(readIfThere('package-lock.json') ?? '{}').packages ?? {}
  const present = JSON.parse(record).packages ?? {}
  return Object.entries(wanted).every(([place, locked]) => {
    if (place === '' || !runsHere(locked)) return true
    return present[place]?.version === locked.version && fs.existsSync(path.join(ROOT, place))
  })
}

/**
 * Whether a locked package must be on this machine. Of several builds for different C libraries
 * one suffices; and what only serves optional packages is as optional as they are.
 */
function runsHere({ os, cpu, libc, optional }) {
  if (libc !== undefined || (optional && os === undefined)) return false
  return (os?.includes(process.platform) ?? true) && (cpu?.includes(process.arch) ?? true)
}

async function install() {
  fs.rmSync(path.join(ROOT, 'node_modules/.prepared'), { force: true })
  // Every native dependency ships its binaries in a package, so no install script has to run.
  const options = ['--include=dev', '--ignore-scripts', '--no-audit', '--no-fund']
  const [command, ...args] = npmCommand()
  await step('installing dependencies', command, [...args, 'ci', ...options])
  fs.writeFileSync(path.join(ROOT, 'node_modules/.prepared'), installStamp())
}

/** How to run npm: the one that runs this script, else the one on the PATH. */
function npmCommand() {
  const cli = process.env.npm_execpath ?? ''
  return path.basename(cli) === 'npm-cli.js' ? [process.execPath, cli] : ['npm']
}

// --- build ---

function buildStamp() {
  const hash = createHash('sha256')
  for (const source of SOURCES) {
    for (const file of filesBelow(source)) {
      hash.update(`${file}\0`)
      hash.update(
        createHash('sha256')
          .update(fs.readFileSync(path.join(ROOT, file)))
          .digest(),
      )
    }
  }
  return `${hash.digest('hex')}\n`
}

/** Files at or below a path, relative to the root, in a fixed order. */
function filesBelow(relative) {
  const stat = fs.statSync(path.join(ROOT, relative), { throwIfNoEntry: false })
  if (stat === undefined) return []
  if (!stat.isDirectory()) return [relative]
  const names = fs.readdirSync(path.join(ROOT, relative)).sort()
  return names
    .filter((name) => name !== 'node_modules')
    .flatMap((name) => filesBelow(path.posix.join(relative, name)))
}

function built() {
  const stamp = readIfThere('dist/.prepared')
  return stamp !== undefined && stamp === buildStamp()
}

/** Builds beside the old `dist` and swaps, so that no process ever meets half a build. */
async function build() {
  const stamp = buildStamp()
  const next = path.join(ROOT, '.dist-next')
  const old = path.join(ROOT, '.dist-old')
  removeFolder(next)
  removeFolder(old)
  const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc')
  const vite = path.join(ROOT, 'node_modules/vite/bin/vite.js')
  await step('compiling', process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', next])
  const toUi = ['--outDir', path.join(next, 'ui'), '--emptyOutDir', '--logLevel', 'warn']
  await step('building the web UI', process.execPath, [vite, 'build', 'ui', ...toUi])
  const main = path.join(next, 'cli/main.js')
  if (fs.existsSync(main)) fs.chmodSync(main, 0o755)
  // The hash of what was read before the build: a file saved meanwhile makes the next run build.
  fs.writeFileSync(path.join(next, '.prepared'), stamp)
  if (fs.existsSync(path.join(ROOT, 'dist'))) fs.renameSync(path.join(ROOT, 'dist'), old)
  fs.renameSync(next, path.join(ROOT, 'dist'))
  removeFolder(old)
}

// --- the rest ---

/** Runs a tool to its end; shows one line with the time it takes, and its output if it fails. */
async function step(title, command, args) {
  const began = Date.now()
  const elapsed = () => `${((Date.now() - began) / 1000).toFixed(1)} s`
  const terminal = process.stderr.isTTY
  process.stderr.write(`prepare: ${title} …${terminal ? '' : ' '}`)
  const show = () => process.stderr.write(`\rprepare: ${title} … ${elapsed()}`)
  const ticker = terminal ? setInterval(show, 500) : undefined
  const { code, output } = await run(command, args)
  clearInterval(ticker)
  if (terminal) show()
  process.stderr.write(terminal ? '\n' : `${elapsed()}\n`)
  if (code !== 0) throw new StepFailed(`${title} failed (${code})`, output)
}

function run(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      // Only a shell finds npm.cmd; the arguments then are all fixed words.
      shell: process.platform === 'win32' && command === 'npm',
    })
    if (child.pid !== undefined) guardChild(child.pid)
    const chunks = []
    child.stdout.on('data', (chunk) => chunks.push(chunk))
    child.stderr.on('data', (chunk) => chunks.push(chunk))
    const stop = (signal) => {
      child.kill(signal)
      process.exit(signal === 'SIGINT' ? 130 : 143)
    }
    process.once('SIGINT', stop).once('SIGTERM', stop)
    const end = (code) => {
      process.off('SIGINT', stop).off('SIGTERM', stop)
      resolve({ code, output: Buffer.concat(chunks).toString() })
    }
    child.once('error', (error) => {
      chunks.push(Buffer.from(`${command}: ${error.message}\n`))
      end('not started')
    })
    child.once('close', (code, signal) => end(code ?? signal))
  })
}

function say(line) {
  process.stderr.write(`prepare: ${line}\n`)
}

/** A file's text, or undefined when there is no such file. */
function readIfThere(relative) {
  try {
    return fs.readFileSync(path.join(ROOT, relative), 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

function removeFolder(folder) {
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
