/** Servers for tests in containers, by Testcontainers: the only file that knows it. */
import { existsSync } from 'node:fs'
import * as net from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import type { RunningService } from './services.ts'
import { waitFor } from './wait.ts'

/** An engine that says nothing for so long counts as none. */
const ENGINE_ANSWER_MS = 5_000
/** From the image being there to the server's first answer. */
const FIRST_START_MS = 120_000
/** For a server that was stopped or killed to answer again, and for its port to be closed. */
const SWITCH_MS = 30_000

export interface ContainerSpec {
  readonly image: string
  /** The port inside. */
  readonly port: number
  readonly env: Readonly<Record<string, string>>
  readonly command: readonly string[]
  /** What the log says when it is ready for the first time, and how often. */
  readonly ready: readonly [line: RegExp, times: number]
  url(host: string, port: number): string
  /** Whether the server at this URL answers. */
  answers(url: string): Promise<boolean>
}

let engine: Promise<boolean> | undefined

/** Whether a container engine answers. Quick where there is none; one that hangs costs a test file one wait. */
export function hasContainerEngine(): Promise<boolean> {
  engine ??= mayHaveEngine() ? engineAnswers() : Promise.resolve(false)
  return engine
}

/** Starts a container whose port on this machine stays the same when it is stopped and started. */
export async function startContainer(spec: ContainerSpec): Promise<RunningService> {
  const { GenericContainer, getContainerRuntimeClient, Wait } = await import('testcontainers')
  // One that the engine picks would be another one after each start.
  const chosen = await freePort()
  const started = await new GenericContainer(spec.image)
    .withExposedPorts({ container: spec.port, host: chosen })
    .withEnvironment({ ...spec.env })
    .withCommand([...spec.command])
    .withWaitStrategy(Wait.forLogMessage(...spec.ready))
    .withStartupTimeout(FIRST_START_MS)
    .start()
  const { container } = await getContainerRuntimeClient()
  const handle = container.getById(started.getId())
  const host = numeric(started.getHost())
  const port = started.getMappedPort(spec.port)
  const url = spec.url(host, port)
  const answering = async (): Promise<void> => {
    const what = `${spec.image} to answer`
    await waitFor(() => spec.answers(url), { deadlineMs: SWITCH_MS, intervalMs: 50, what })
  }
  // The engine tells of the end of a container before it has closed its port.
  const closed = async (): Promise<void> => {
    await waitFor(() => refuses(host, port), { deadlineMs: SWITCH_MS, what: 'its port to close' })
  }
  const kill = async (): Promise<void> => {
    await unlessSo(handle.kill())
    await handle.wait()
    await closed()
  }
  const end = async (): Promise<void> => void (await started.stop())
  try {
    await answering()
  } catch (error) {
    await end()
    throw error
  }
  return {
    url,
    form: 'container',
    control: {
      start: async () => {
        await unlessSo(handle.start())
        await answering()
      },
      stop: async () => {
        await unlessSo(handle.stop())
        await closed()
      },
      crash: kill,
      kill,
      freeze: async () => void (await handle.pause()),
      thaw: async () => void (await handle.unpause()),
    },
    end,
  }
}

async function engineAnswers(): Promise<boolean> {
  const { getContainerRuntimeClient } = await import('testcontainers')
  const found = getContainerRuntimeClient().then(
    () => true,
    () => false,
  )
  const stop = new AbortController()
  const late = delay(ENGINE_ANSWER_MS, false, { signal: stop.signal }).catch(() => false)
  try {
    return await Promise.race([found, late])
  } finally {
    stop.abort()
  }
}

/** Whether anything hints at an engine; loading Testcontainers only to be told "no" takes a while. */
function mayHaveEngine(): boolean {
  const { DOCKER_HOST, XDG_RUNTIME_DIR } = process.env
  if (DOCKER_HOST !== undefined || process.platform === 'win32') return true
  const places = [
    '/var/run/docker.sock',
    `/run/user/${process.getuid?.()}/docker.sock`,
    ...(XDG_RUNTIME_DIR === undefined ? [] : [join(XDG_RUNTIME_DIR, 'docker.sock')]),
    join(homedir(), '.docker/run/docker.sock'),
    join(homedir(), '.docker/desktop/docker.sock'),
    join(homedir(), '.testcontainers.properties'),
  ]
  return places.some((path) => existsSync(path))
}

/** The address that programs of tests listen on: errors and log lines look the same in every form. */
function numeric(host: string): string {
  return host === 'localhost' ? '127.0.0.1' : host
}

/** Waits for an order to the engine; one to start what runs, or to end what does not run, is no error. */
async function unlessSo(order: Promise<unknown>): Promise<void> {
  try {
    await order
  } catch (error) {
    const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
    if (status !== 304 && status !== 409) throw error
  }
}

function refuses(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, host)
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(2_000, () => end(false))
    socket.on('connect', () => end(false))
    socket.on('error', (error) => end('code' in error && error.code === 'ECONNREFUSED'))
  })
}
