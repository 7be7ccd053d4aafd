/**
 * A network of real network namespaces: one per node, joined by two bridges. Nodes replicate over the
 * first, whose links can be cut, slowed and made lossy; tests talk to the nodes over the second, which
 * is never touched. The first is in a namespace of its own, out of reach of the machine's firewall.
 * Needs root and `ip`. Linux only.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'

/** Names of namespaces and links begin with it, followed by the number of the process that made them. */
const PREFIX = 'ooo'
const NO_SUCH_MAC = '02:00:00:00:00:fe'

export interface LabHost {
  /** Address on the network that can fail. */
  readonly address: string
  /** Address on the network for the test. */
  readonly testAddress: string
  /** Program and arguments that run what follows them on this host. */
  readonly enter: readonly string[]
}

/** Why such a network can not be made here; undefined when it can. */
export function whyNoNetworkLab(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces need Linux'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const name = `${PREFIX}${process.pid}-probe`
  try {
    ip('netns', 'add', name)
    ip('-n', name, 'link', 'add', 'probe0', 'type', 'veth', 'peer', 'name', 'probe1')
    tc('-n', name, 'qdisc', 'add', 'dev', 'probe0', 'root', ...slowTo(1000))
    return undefined
  } catch (error) {
    return `no network namespaces here: ${String(error).split('\n').slice(0, 2).join(' ')}`
  } finally {
    attempt(() => ip('netns', 'del', name))
  }
}

export class NetworkLab {
  /** Whether the kernel can delay and drop packets at random (`sch_netem`). */
  readonly hasNetem: boolean
  readonly hosts: readonly LabHost[]
  readonly #id = `${PREFIX}${process.pid}`
  readonly #subnet: number
  readonly #cleanup = (): void => this.destroy()

  /** Makes `count` hosts, all connected. What an earlier, killed process left behind is removed. */
  constructor(count: number) {
    removeLeftovers()
    process.once('exit', this.#cleanup)
    this.#subnet = freeSubnet()
    ip('netns', 'add', this.#switch)
    ip('-n', this.#switch, 'link', 'add', 'bridge', 'type', 'bridge')
    ip('-n', this.#switch, 'link', 'set', 'bridge', 'up')
    ip('link', 'add', `${this.#id}b`, 'type', 'bridge')
    ip('addr', 'add', `10.${this.#subnet}.2.254/24`, 'dev', `${this.#id}b`)
    ip('link', 'set', `${this.#id}b`, 'up')
    this.hosts = Array.from({ length: count }, (_, i) => this.#host(i))
    this.hasNetem = this.#tryNetem()
  }

  /** The host's cable is pulled: the kernel on its side sees that. */
  unplug(host: number): void {
    ip('-n', this.#switch, 'link', 'set', linkOf(host), 'down')
  }

  /** The host's packets vanish somewhere in the network: nobody sees why. */
  cut(host: number): void {
    ip('-n', this.#switch, 'link', 'set', linkOf(host), 'nomaster')
  }

  /** Packets from one host to another vanish; those of the other direction arrive. */
  cutOneWay(from: number, to: number): void {
    const address = this.hosts[to]?.address ?? ''
    const neighbour = ['lladdr', NO_SUCH_MAC, 'dev', 'eth0', 'nud', 'permanent']
    ip('-n', this.#space(from), 'neigh', 'replace', address, ...neighbour)
  }

  /** Both directions of the host's link carry so many kilobits per second; what queues up is dropped. */
  slow(host: number, kbit: number): void {
    this.#shape(host, slowTo(kbit))
  }

  /**
   * The host's link loses packets: a share of them where the kernel can do that, else those that
   * do not fit a queue of a few packets.
   */
  loseSome(host: number): void {
    const random = ['netem', 'delay', '30ms', '20ms', 'loss', '15%']
    const short = ['tbf', 'rate', '512kbit', 'burst', '3000', 'limit', '4500']
    this.#shape(host, this.hasNetem ? random : short)
  }

  /** Ends every fault of the network. */
  heal(): void {
    this.hosts.forEach((_, i) => {
      ip('-n', this.#switch, 'link', 'set', linkOf(i), 'up', 'master', 'bridge')
      ip('-n', this.#space(i), 'neigh', 'flush', 'dev', 'eth0', 'nud', 'permanent')
      attempt(() => tc('-n', this.#switch, 'qdisc', 'del', 'dev', linkOf(i), 'root'))
      attempt(() => tc('-n', this.#space(i), 'qdisc', 'del', 'dev', 'eth0', 'root'))
    })
  }

  /** Ends what still runs in the namespaces, and removes them. Idempotent. */
  destroy(): void {
    process.off('exit', this.#cleanup)
    remove(this.#id)
  }

  #host(i: number): LabHost {
    const space = this.#space(i)
    const address = `10.${this.#subnet}.1.${i + 1}`
    const testAddress = `10.${this.#subnet}.2.${i + 1}`
    ip('netns', 'add', space)
    ip('-n', space, 'link', 'set', 'lo', 'up')
    const place = ['-n', this.#switch]
    const cables = [
      { place, outside: linkOf(i), inside: 'eth0', bridge: 'bridge', own: address },
      {
        place: [],
        outside: `${this.#id}t${i}`,
        inside: 'eth1',
        bridge: `${this.#id}b`,
        own: testAddress,
      },
    ]
    for (const { place: where, outside, inside, bridge, own } of cables) {
      ip(...where, 'link', 'add', outside, 'type', 'veth', 'peer', 'name', inside, 'netns', space)
      ip(...where, 'link', 'set', outside, 'master', bridge, 'up')
      ip('-n', space, 'addr', 'add', `${own}/24`, 'dev', inside)
      ip('-n', space, 'link', 'set', inside, 'up')
    }
    return { address, testAddress, enter: ['ip', 'netns', 'exec', space] }
  }

  #shape(host: number, shape: readonly string[]): void {
    tc('-n', this.#switch, 'qdisc', 'replace', 'dev', linkOf(host), 'root', ...shape)
    tc('-n', this.#space(host), 'qdisc', 'replace', 'dev', 'eth0', 'root', ...shape)
  }

  #tryNetem(): boolean {
    try {
      tc('-n', this.#switch, 'qdisc', 'replace', 'dev', linkOf(0), 'root', 'netem', 'delay', '1ms')
      tc('-n', this.#switch, 'qdisc', 'del', 'dev', linkOf(0), 'root')
      return true
    } catch {
      return false
    }
  }

  #space(host: number): string {
    return `${this.#id}-${host}`
  }

  get #switch(): string {
    return `${this.#id}-switch`
  }
}

/** A queue that lets so many kilobits per second through. */
function slowTo(kbit: number): string[] {
  return ['tbf', 'rate', `${kbit}kbit`, 'burst', '4kb', 'latency', '400ms']
}

/** The end in the switch of the cable that can fail. */
function linkOf(host: number): string {
  return `link${host}`
}

/** A second byte for 10.x.0.0/16 that this machine does not route yet. */
function freeSubnet(): number {
  const routes = ip('route')
  const free = Array.from({ length: 50 }, (_, i) => 200 + ((process.pid + i) % 50))
  const subnet = free.find((candidate) => !routes.includes(`10.${candidate}.`))
  if (subnet === undefined) throw new Error('no free subnet between 10.200 and 10.249')
  return subnet
}

/** Removes the networks of processes that are gone. */
function removeLeftovers(): void {
  const names = [...ip('netns', 'list').split('\n'), ...readdirSync('/sys/class/net')]
  const owners = new Set(
    names.flatMap((name) => /^ooo(\d+)(?:-\d|-probe|-switch|b$|t\d)/.exec(name)?.[1] ?? []),
  )
  for (const owner of owners) if (!isAlive(Number(owner))) remove(`${PREFIX}${owner}`)
}

function remove(id: string): void {
  for (const line of ip('netns', 'list').split('\n')) {
    const name = line.split(' ')[0] ?? ''
    if (!name.startsWith(`${id}-`)) continue
    // Whoever runs in it was started for it.
    attempt(() => {
      for (const pid of ip('netns', 'pids', name).split('\n')) {
        if (/^\d+$/.test(pid)) attempt(() => process.kill(Number(pid), 'SIGKILL'))
      }
    })
    attempt(() => ip('netns', 'del', name))
  }
  // A namespace lives on while a connection in it has not given up; its cables need not.
  for (const name of readdirSync('/sys/class/net')) {
    if (name === `${id}b` || new RegExp(`^${id}t\\d+$`).test(name)) {
      attempt(() => ip('link', 'del', name))
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

function tc(...args: string[]): void {
  execFileSync('tc', args, { stdio: 'pipe' })
}

function attempt(action: () => unknown): void {
  try {
    action()
  } catch {
    // Gone already, or never there.
  }
}
