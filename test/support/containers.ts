/** Servers for tests in containers, by Testcontainers: the only file that knows it. */
import { existsSync } from 'node:fs'
import { freePort } from './free-port.ts'
import type { RunningService } from './services.ts'

export interface ContainerSpec {
  readonly image: string
  /** The port inside. */
  readonly port: number
  readonly env: Readonly<Record<string, string>>
  readonly command?: readonly string[]
  /** What the log says when it is ready, and how often. */
  readonly ready: readonly [line: RegExp, times: number]
  url(host: string, port: number): string
}

/** Whether a container engine answers. Quick where there is none. */
export async function hasContainerEngine(): Promise<boolean> {
  const { DOCKER_HOST, HOME, XDG_RUNTIME_DIR, TESTCONTAINERS_HOST_OVERRIDE } = process.env
  const sockets = [
    '/var/run/docker.sock',
    `${XDG_RUNTIME_DIR}/docker.sock`,
    `${HOME}/.docker/run/docker.sock`,
  ]
  const named = DOCKER_HOST !== undefined || TESTCONTAINERS_HOST_OVERRIDE !== undefined
  if (!named && !sockets.some((path) => existsSync(path))) return false
  try {
    const { getContainerRuntimeClient } = await import('testcontainers')
    await getContainerRuntimeClient()
    return true
  } catch {
    return false
  }
}

/** Starts a container whose port on this machine stays the same when it is stopped and started. */
export async function startContainer(spec: ContainerSpec): Promise<RunningService> {
  const { GenericContainer, getContainerRuntimeClient, Wait } = await import('testcontainers')
  const host = await freePort()
  const started = await new GenericContainer(spec.image)
    .withExposedPorts({ container: spec.port, host })
    .withEnvironment({ ...spec.env })
    .withCommand([...(spec.command ?? [])])
    .withWaitStrategy(Wait.forLogMessage(...spec.ready))
    .withStartupTimeout(120_000)
    .start()
  const { container } = await getContainerRuntimeClient()
  const handle = container.getById(started.getId())
  const kill = async (): Promise<void> => {
    await handle.kill()
    await handle.wait()
  }
  return {
    url: spec.url(started.getHost(), started.getMappedPort(spec.port)),
    form: 'container',
    control: {
      start: async () => void (await handle.start()),
      stop: async () => void (await handle.stop()),
      crash: kill,
      kill,
    },
    end: async () => void (await started.stop()),
  }
}
