/**
 * A machine with systemd and Node in a container, without a network: what a machine at the edge is. Not a
 * privileged one, since engines in containers can not start those; systemd needs less.
 */
import {
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
} from 'testcontainers'
import { waitFor } from './wait.ts'

/** As tools/base-images.sh names it. */
export const SYSTEMD_IMAGE = 'ooo-cluster-systemd:test'

/** Where scripts run, and files are put by tests. */
export const HOME = '/root'

const BOOT_MS = 60_000
/** What systemd expects of who starts it in a container: it mounts for its services from outside of them. */
const BOOT = 'mount --make-rshared / && exec /lib/systemd/systemd'
const HALT_SIGNAL = 'SIGRTMIN+3'

/** What a command said, both streams, and how it ended. */
export interface Said {
  readonly exitCode: number
  readonly output: string
}

/** A started machine; `end` removes it. */
export class SystemdMachine {
  readonly #container: StartedTestContainer

  private constructor(container: StartedTestContainer) {
    this.#container = container
  }

  /** Boots one. @throws when systemd does not come up in a container here */
  static async boot(): Promise<SystemdMachine> {
    const container = await new InitContainer(SYSTEMD_IMAGE).start()
    const machine = new SystemdMachine(container)
    try {
      await machine.#booted()
      return machine
    } catch (error) {
      await machine.end()
      throw error
    }
  }

  /** Copies a file of this machine to a path on that one. */
  async take(source: string, target: string): Promise<void> {
    await this.#container.copyFilesToContainer([{ source, target }])
  }

  /** Runs a script of sh as root, in its home. */
  async run(script: string): Promise<Said> {
    return await this.#container.exec(['sh', '-c', `exec 2>&1; cd ${HOME}\n${script}`])
  }

  /** Gives what the script printed, without the last line break. @throws when it fails */
  async must(script: string): Promise<string> {
    const { exitCode, output } = await this.run(script)
    if (exitCode !== 0) throw new Error(`exit code ${exitCode} of: ${script}\n${output}`)
    return output.trimEnd()
  }

  /** Shuts it down in order and starts it again. */
  async reboot(): Promise<void> {
    const { container } = await getContainerRuntimeClient()
    await container.getById(this.#container.getId()).restart({ t: 60 })
    await this.#booted()
  }

  async end(): Promise<void> {
    await this.#container.stop({ timeout: 0 })
  }

  async #booted(): Promise<void> {
    // `degraded`: something that nobody here needs did not start.
    const isUp = async (): Promise<boolean> =>
      /^(running|degraded)$/m.test((await this.run('systemctl is-system-running')).output)
    await waitFor(isUp, { deadlineMs: BOOT_MS, intervalMs: 100, what: 'systemd to have booted' })
  }
}

/** The builder has no words for some of it. */
class InitContainer extends GenericContainer {
  constructor(image: string) {
    super(image)
    Object.assign(this.createOpts, { StopSignal: HALT_SIGNAL })
    Object.assign(this.hostConfig, {
      CgroupnsMode: 'host',
      // Those of /proc, which units change and hide themselves.
      MaskedPaths: [],
      ReadonlyPaths: [],
    })
    this.withNetworkMode('none')
      .withEntrypoint(['sh', '-c', BOOT])
      .withEnvironment({ container: 'docker' })
      .withAddedCapabilities('SYS_ADMIN', 'SYS_PTRACE')
      .withSecurityOpt('seccomp=unconfined', 'apparmor=unconfined', 'label=disable')
      .withBindMounts([{ source: '/sys/fs/cgroup', target: '/sys/fs/cgroup', mode: 'rw' }])
      .withTmpFs({ '/run': 'mode=755', '/run/lock': '' })
  }
}
