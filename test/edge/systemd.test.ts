/**
 * The edge installation under a systemd that runs: what docs/edge.md says to type, and what the unit
 * promises. One machine for all tests, which each begins with a node that serves.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { getContainerRuntimeClient } from 'testcontainers'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PROJECT_ROOT, prepareBuild } from '../support/built.ts'
import { CertificateFolder, NO_OPENSSL } from '../support/certificates.ts'
import { hasContainerEngine } from '../support/containers.ts'
import { readProjectFile } from '../support/manifests.ts'
import { codeBlocks } from '../support/markdown.ts'
import { HOME, type Said, SYSTEMD_IMAGE, SystemdMachine } from '../support/systemd-machine.ts'
import { waitFor } from '../support/wait.ts'

const WAIT = { deadlineMs: 60_000, intervalMs: 200 }
const PREPARE_MS = 600_000
const NO_ENGINE =
  'no container engine answers: start Docker (on Debian as root, tools/container-engine.sh starts one)'
const OVERRIDE = '/run/systemd/system/ooo.service.d/test.conf'

let machine: SystemdMachine | undefined
/** Why there is none. */
let missing = NO_ENGINE
/** What the first installation said. */
let installed = ''
const folder = mkdtempSync(join(tmpdir(), 'ooo-edge-'))

beforeAll(async () => {
  try {
    if (!(await hasContainerEngine())) throw new Error(NO_ENGINE)
    await prepareImage()
    machine = await SystemdMachine.boot()
  } catch (error) {
    if (process.env.CI === 'true') throw error
    missing = error instanceof Error ? error.message : `${error}`
    return console.log(`skipped: ${missing}`)
  }
  await prepareBuild()
  await promisify(execFile)(join(PROJECT_ROOT, 'deploy/bundle.sh'), [folder])
  const [bundle = ''] = readdirSync(folder)
  await machine.take(join(folder, bundle), `${HOME}/${bundle}`)
}, PREPARE_MS)
afterAll(async () => {
  await machine?.end()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(async (context) => {
  if (machine === undefined) return context.skip(missing)
  context.onTestFailed(async () => console.log((await run('journalctl --no-pager -n 80')).output))
  // A test may have failed in the middle, or have removed it.
  const { exitCode } = await run('systemctl is-active --quiet ooo')
  if (exitCode !== 0) installed = await installAsThePageSays()
})

/** The published base where there is one; the script makes what is needed elsewhere. */
async function prepareImage(): Promise<void> {
  const { container } = await getContainerRuntimeClient()
  const image = container.dockerode.getImage(SYSTEMD_IMAGE)
  const isThere = await image.inspect().then(
    () => true,
    () => false,
  )
  if (isThere) return
  await promisify(execFile)(join(PROJECT_ROOT, 'tools/base-images.sh'), ['systemd'])
}

function started(): SystemdMachine {
  if (machine === undefined) throw new Error(missing)
  return machine
}

const run = (script: string): Promise<Said> => started().run(script)
const must = (script: string): Promise<string> => started().must(script)
const show = (property: string): Promise<string> => must(`systemctl show -P ${property} ooo`)
const isActive = async (): Promise<boolean> => (await show('ActiveState')) === 'active'
const journal = (more = ''): Promise<string> =>
  must(`journalctl --sync; journalctl -u ooo -o cat --no-pager ${more}`)

/** The first block of the page with this in it. */
function pageBlock(word: string): string {
  const block = codeBlocks(readProjectFile('docs/edge.md')).find(({ code }) => code.includes(word))
  if (block === undefined) throw new Error(`docs/edge.md has no block with ${word}`)
  return block.code
}

/** Writes a file on the machine, for root only. */
async function put(path: string, text: string): Promise<void> {
  await must(`umask 077; mkdir -p $(dirname ${path}); cat >${path} <<'END'\n${text}\nEND`)
}

/** Adds to the unit and starts the service with it. */
async function override(text: string): Promise<void> {
  await put(OVERRIDE, text)
  await must('systemctl daemon-reload; systemctl restart ooo')
}

/** The words of the page, as somebody would type them who is content with the settings. */
async function installAsThePageSays(): Promise<string> {
  const steps = pageBlock('install.sh install')
  const said = await must(`sudo() { "$@"; }\nsudoedit() { test -f "$1"; }\nset -e\n${steps}`)
  await waitFor(isActive, { ...WAIT, what: 'the service to be active' })
  return said
}

async function newMainPid(old: string): Promise<string> {
  const other = async (): Promise<string | false> => {
    const pid = await show('MainPID')
    return (await isActive()) && pid !== old && pid
  }
  return await waitFor(other, { ...WAIT, what: `another process than ${old} to serve` })
}

describe('a node installed at the edge', { timeout: 180_000 }, () => {
  it('is installed by the steps of the page, and serves with no leader in reach', async () => {
    expect(installed).toMatch(/not started: systemctl start ooo/)
    expect(installed).toMatch(/follower +https:\/\/leader\.example\.org +offline/)
    expect(await must('systemctl is-enabled ooo')).toBe('enabled')
    expect(await must("stat -c '%a %U' /etc/ooo/edge.yaml /etc/ooo/environment")).toBe(
      '644 root\n600 root',
    )
    expect(await must('ooo set settings \'{"n":1.10}\' && ooo get settings')).toContain('1.10')
    expect(await must('systemctl status ooo --no-pager')).toMatch(/Active: active \(running\)/)
  })

  it('writes lines to the journal under its name, with their priority and without a second time', async () => {
    const said = async (): Promise<string> => await journal('-t ooo -p warning')
    const lines = await waitFor(async () => (await said()).trim(), { ...WAIT, what: 'a warning' })
    expect(lines.split('\n')[0]).toMatch(/^warn leader out of reach; /)
    expect(await journal('-t ooo')).toMatch(/^ooo: "\S+" serving http/m)
  })

  it('has no rights, sees a read-only system, and owns nothing but its folder', async () => {
    const pid = await show('MainPID')
    const status = await must(`cat /proc/${pid}/status`)
    expect(status).toMatch(/^CapBnd:\s0+$/m)
    expect(status).toMatch(/^NoNewPrivs:\s1$/m)
    expect(status).toMatch(/^Seccomp:\s2$/m)
    expect(status).not.toMatch(/^Uid:\t(\d+\t)*0(\t|$)/m)
    expect(await must(`cat /proc/${pid}/limits`)).toMatch(/^Max core file size +0 +0 /m)
    const paths = ['/etc/x', '/opt/x', '/var/lib/x', '/usr/x', '/var/lib/ooo/x', '/tmp/x']
    const tries = paths.map((path) => `touch ${path} 2>/dev/null && rm ${path} && echo ${path};`)
    // Not even root could write there.
    expect(await must(`nsenter -t ${pid} -m sh -c '${tries.join(' ')} true'`)).toBe(
      '/var/lib/ooo/x\n/tmp/x',
    )
    expect(await must(`nsenter -t ${pid} -m ls -A /tmp /home /root`)).not.toContain('ooo-edge')
  })

  it('is started again when it is killed, with its data', async () => {
    await must('ooo set items/kept \'{"n":1}\'')
    const pid = await show('MainPID')
    await must(`kill -9 ${pid}`)
    await newMainPid(pid)
    expect(await must('ooo get items/kept')).toContain('"n":1')
  })

  it('is started again when it hangs', async ({ onTestFinished }) => {
    onTestFinished(async () => {
      await must(`rm ${OVERRIDE}; systemctl daemon-reload; systemctl restart ooo`)
    })
    await override('[Service]\nWatchdogSec=8\nRestartSec=1\n')
    const pid = await show('MainPID')
    await must(`kill -STOP ${pid}`)
    await newMainPid(pid)
    expect(await journal()).toContain('Watchdog timeout')
  })

  it('with a setting that is not understood says so, and is not started again and again', async () => {
    await must("sed -i 's/^port:/prot:/' /etc/ooo/edge.yaml")
    try {
      expect((await run('systemctl restart ooo')).exitCode).not.toBe(0)
      expect([await show('ActiveState'), await show('NRestarts')]).toEqual(['failed', '0'])
      expect(await journal('-n 10')).toContain('edge.yaml: prot: unknown field; did you mean port?')
    } finally {
      await must("sed -i 's/^prot:/port:/' /etc/ooo/edge.yaml")
    }
    await must('systemctl restart ooo')
  })

  it('closes cleanly while somebody listens', async () => {
    await must("ooo watch 'items/*' >/tmp/watched 2>&1 & echo $! >/tmp/watcher")
    await waitFor(async () => (await must('cat /tmp/watched')) !== '', WAIT)
    await must('systemctl stop ooo; kill $(cat /tmp/watcher) 2>/dev/null || true')
    expect([await show('ActiveState'), await show('Result')]).toEqual(['inactive', 'success'])
    expect(await journal('-n 10')).toContain('stopping because=SIGTERM')
  })

  it.skipIf(NO_OPENSSL !== undefined)(
    "serves TLS with a key that is only root's, as the page says",
    async ({ onTestFinished }) => {
      const certificates = new CertificateFolder()
      const { certFile, keyFile } = certificates.issue('node')
      onTestFinished(async () => {
        certificates.remove()
        await must(`rm ${OVERRIDE}; systemctl daemon-reload; systemctl restart ooo`)
      })
      await put('/etc/ooo/ca.pem', readFileSync(certificates.caFile, 'utf8'))
      await put('/etc/ooo/cert.pem', readFileSync(certFile, 'utf8'))
      await put('/etc/ooo/key.pem', readFileSync(keyFile, 'utf8'))
      await override(pageBlock('LoadCredential'))
      const status = 'NODE_EXTRA_CA_CERTS=/etc/ooo/ca.pem ooo status https://localhost:8800'
      expect(await must(status)).toContain('leader.example.org')
      expect(await must('stat -c %a /etc/ooo/key.pem')).toBe('600')
    },
  )

  it('on a disk of its own serves while that is full, and does not start while it is away', async ({
    onTestFinished,
  }) => {
    const mount = '/var/lib/private/ooo'
    onTestFinished(async () => {
      await must(
        `systemctl stop ooo; rm /etc/fstab; systemctl daemon-reload; umount ${mount} || true`,
      )
    })
    await must('systemctl stop ooo')
    await put('/etc/fstab', `tmpfs ${mount} tmpfs nofail,size=24m,mode=700 0 0\n`)
    await must('systemctl daemon-reload; systemctl start ooo')
    await must(`ooo set items/small '{"n":6}'; head -c 48M /dev/zero >${mount}/ballast || true`)
    const big = 'printf \'"%050000d"\' 0 >big; ooo set items/big "$(cat big)"'
    expect(await run(big)).toMatchObject({
      exitCode: 1,
      output: expect.stringContaining('no space'),
    })
    expect(await must('ooo get items/small')).toContain('"n":6')
    await must(`rm ${mount}/ballast`)
    await waitFor(async () => (await run(big)).exitCode === 0, WAIT)

    await must('systemctl stop ooo; umount /var/lib/private/ooo')
    await put('/etc/fstab', `tmpfs ${mount} tmpfs nofail,uid=nobody-at-all 0 0\n`)
    expect((await run('systemctl daemon-reload; systemctl start ooo')).output).toContain(
      'dependency',
    )
    expect(await show('ActiveState')).toBe('inactive')
  })

  it('comes back by itself after a reboot', async () => {
    await must('ooo set items/booted \'{"n":2}\'')
    await started().reboot()
    await waitFor(isActive, { ...WAIT, what: 'the service to be active' })
    expect(await must('ooo get items/booted')).toContain('"n":2')
  })

  it('opens what root restored into its folder', async () => {
    await must('ooo set items/saved \'{"n":3}\'; systemctl stop ooo; rm -f /root/backup')
    await must('ooo backup --data /var/lib/ooo /root/backup')
    await must('ooo restore --data /var/lib/ooo --force /root/backup; systemctl start ooo')
    expect(await must('ooo get items/saved')).toContain('"n":3')
  })

  it('is upgraded in place, and keeps the old release when the new one does not start', async () => {
    await must('ooo set items/upgraded \'{"n":4}\'')
    const before = await must('readlink /opt/ooo-cluster/current')
    expect(await must('cd ooo-edge-*/ && ./install.sh install')).toMatch(/^started: /m)
    const after = await must('readlink /opt/ooo-cluster/current')
    expect(after).not.toBe(before)
    expect(await must('ooo get items/upgraded')).toContain('"n":4')
    // Answers when it is tried, and then does not serve.
    await must(`rm -rf /tmp/bad && mkdir /tmp/bad && tar -xzf ooo-edge-*/*.tgz -C /tmp/bad &&
      sed -i '2i if (process.argv[2] === "serve") { console.error("broken"); process.exit(1) }' \
      /tmp/bad/package/dist/cli/main.js && tar -czf /tmp/bad.tgz -C /tmp/bad package`)
    const { exitCode, output } = await run(
      'cd ooo-edge-*/ && ./install.sh install --tarball /tmp/bad.tgz',
    )
    expect([exitCode, output]).toEqual([
      1,
      expect.stringMatching(/does not start:\n(.*\n)*.*broken/),
    ])
    expect(output).toContain(`the release before runs again: ${after}`)
    expect(await must('readlink /opt/ooo-cluster/current')).toBe(after)
    expect(await must('ooo get items/upgraded')).toContain('"n":4')
  })

  it('is removed without its data and settings, and with them when asked', async () => {
    await must("ooo set items/found '{\"n\":5}'; echo '# mine' >>/etc/ooo/edge.yaml")
    await must('cd ooo-edge-*/ && ./install.sh uninstall')
    expect((await run('systemctl cat ooo')).exitCode).not.toBe(0)
    await installAsThePageSays()
    expect(await must('ooo get items/found; tail -n 1 /etc/ooo/edge.yaml')).toMatch(
      /"n":5[\s\S]*# mine$/,
    )
    await must('cd ooo-edge-*/ && ./install.sh uninstall --purge')
    const left = ['/opt/ooo-cluster', '/etc/ooo', '/var/lib/ooo', '/var/lib/private/ooo']
    expect((await run(`ls -d ${left.join(' ')} 2>/dev/null`)).output).toBe('')
  })
})
