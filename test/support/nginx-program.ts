/** An nginx of its own for a test: one that passes everything on to a node. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installWithApt } from './apt.ts'
import { freePort } from './free-port.ts'
import { request } from './http.ts'
import { findProgram, ServerProgram } from './server-program.ts'

const FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin']

export interface RunningNginx {
  readonly url: string
  readonly port: number
  end(): Promise<void>
}

/** The program: on the PATH, or installed; undefined where neither is possible. With `CI=true` an error. */
export function findNginx(): string | undefined {
  const found = findProgram('nginx', FOLDERS)
  if (found !== undefined) return found
  if (installWithApt('nginx-light')) return findProgram('nginx', FOLDERS)
  if (process.env.CI === 'true') throw new Error('no nginx: install it')
  return undefined
}

/** @param settings lines of the location, beside `proxy_pass` */
export async function startNginx(
  program: string,
  target: string,
  settings: readonly string[],
): Promise<RunningNginx> {
  const root = mkdtempSync(join(tmpdir(), 'ooo-nginx-'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const file = join(root, 'nginx.conf')
  writeFileSync(file, configuration(root, port, target, settings))
  const server = new ServerProgram({
    command: program,
    args: ['-p', root, '-c', file, '-e', 'stderr'],
    cwd: root,
    isReady: () =>
      request('GET', `${url}/-/healthz`).then(
        ({ status }) => status === 200,
        () => false,
      ),
  })
  await server.start()
  return {
    url,
    port,
    end: async () => {
      await server.signal('SIGTERM')
      rmSync(root, { recursive: true, force: true })
    },
  }
}

function configuration(
  root: string,
  port: number,
  target: string,
  settings: readonly string[],
): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(root, name)};`,
  )
  return `daemon off; pid ${join(root, 'pid')}; worker_processes 1; error_log stderr;
events { worker_connections 64; }
http {
  access_log off; ${temporary.join(' ')}
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass ${target}; ${settings.join(' ')} }
  }
}
`
}
