/** Redis in the forms it runs in: with TLS and a password, under a Sentinel, as a Redis Cluster. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePort } from './free-port.ts'
import { redisAnswers } from './redis-program.ts'
import { ServerProgram } from './server-program.ts'
import { waitFor } from './wait.ts'

const WAIT = { deadlineMs: 30_000, intervalMs: 50 }

/** One process and the port it answers on. */
export interface RedisProcess {
  readonly port: number
  readonly server: ServerProgram
}

/** Programs of one test; `end` ends them and removes their folder. */
export class RedisForms {
  readonly #program: string
  readonly #root: string = mkdtempSync(join(tmpdir(), 'ooo-redis-forms-'))
  readonly #servers: ServerProgram[] = []

  constructor(program: string) {
    this.#program = program
  }

  async end(): Promise<void> {
    for (const server of this.#servers.splice(0)) await server.kill()
    rmSync(this.#root, { recursive: true, force: true })
  }

  /** A server that takes nothing but TLS, and wants a password. */
  async secure(
    files: { readonly certFile: string; readonly keyFile: string; readonly caFile: string },
    password: string,
  ): Promise<RedisProcess> {
    const tlsPort = await freePort()
    const options = {
      port: '0',
      'tls-port': String(tlsPort),
      'tls-cert-file': files.certFile,
      'tls-key-file': files.keyFile,
      'tls-ca-cert-file': files.caFile,
      'tls-auth-clients': 'no',
      requirepass: password,
    }
    // Who knows no TLS is hung up on, by a server that is there.
    return this.#start(tlsPort, options, () => accepts(tlsPort))
  }

  /** A plain server; a replica of another when one is given. */
  plain(port: number, replicaOf?: number): Promise<RedisProcess> {
    const replica = replicaOf === undefined ? {} : { replicaof: `127.0.0.1 ${replicaOf}` }
    return this.#start(port, { port: String(port), ...replica })
  }

  /** A Sentinel that watches the server at `master` under this name, alone. */
  async sentinel(name: string, master: number): Promise<RedisProcess> {
    const port = await freePort()
    const file = join(this.#folder(port), 'sentinel.conf')
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `sentinel monitor ${name} 127.0.0.1 ${master} 1`,
      `sentinel down-after-milliseconds ${name} 1000`,
      `sentinel failover-timeout ${name} 5000`,
    ]
    writeFileSync(file, `${lines.join('\n')}\n`)
    return this.#run(port, [file, '--sentinel'], () => redisAnswers(urlOf(port)))
  }

  /** Three nodes that know each other and share all slots. */
  async cluster(): Promise<RedisProcess[]> {
    const nodes: RedisProcess[] = []
    for (let i = 0; i < 3; i++) {
      const [port, busPort] = [await freePort(), await freePort()]
      const options = {
        port: String(port),
        'cluster-enabled': 'yes',
        'cluster-port': String(busPort),
        'cluster-node-timeout': '2000',
      }
      nodes.push(await this.#start(port, options))
      await ask(
        port,
        'CLUSTER',
        'ADDSLOTSRANGE',
        String(i * 5461),
        String(i === 2 ? 16383 : i * 5461 + 5460),
      )
      const first = nodes[0]?.port ?? port
      if (i > 0) await ask(first, 'CLUSTER', 'MEET', '127.0.0.1', String(port), String(busPort))
    }
    for (const { port } of nodes) {
      const isWhole = async (): Promise<boolean> => {
        const info = await ask(port, 'CLUSTER', 'INFO')
        return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')
      }
      await waitFor(isWhole, { ...WAIT, what: 'the Redis Cluster' })
    }
    return nodes
  }

  #start(
    port: number,
    options: Readonly<Record<string, string>>,
    isReady: () => Promise<boolean> = () => redisAnswers(urlOf(port)),
  ): Promise<RedisProcess> {
    const all = {
      bind: '127.0.0.1',
      save: '',
      appendonly: 'no',
      dir: this.#folder(port),
      ...options,
    }
    const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, ...value.split(' ')])
    return this.#run(port, args, isReady)
  }

  async #run(
    port: number,
    args: readonly string[],
    isReady: () => Promise<boolean>,
  ): Promise<RedisProcess> {
    const server = new ServerProgram({ command: this.#program, args, cwd: this.#root, isReady })
    this.#servers.push(server)
    await server.start()
    return { port, server }
  }

  #folder(port: number): string {
    const path = join(this.#root, String(port))
    mkdirSync(path, { recursive: true })
    return path
  }
}

/** What a command answers, as text. */
export async function ask(port: number, ...command: readonly string[]): Promise<string> {
  const [name = '', ...args] = command
  const redis = new Redis({ host: '127.0.0.1', port, lazyConnect: true, retryStrategy: () => null })
  redis.on('error', () => undefined)
  try {
    await redis.connect()
    return String(await redis.call(name, ...args))
  } finally {
    redis.disconnect()
  }
}

function urlOf(port: number): string {
  return `redis://127.0.0.1:${port}`
}

async function accepts(port: number): Promise<boolean> {
  const { connect } = await import('node:net')
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
