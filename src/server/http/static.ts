/** Serves the built web UI: its page at `/`, its assets below `/-/ui/`. */
import { readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { StateError } from '../../core/errors.ts'
import { type Reply, textReply } from '../exchange/reply.ts'

/** Path prefix of the assets. */
export const UI_PREFIX = '/-/ui/'

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'application/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.map': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.webmanifest': 'application/manifest+json',
}

/**
 * The page runs only its own scripts and talks only to its own node, and no other page can show it in a
 * frame and have it clicked.
 */
const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
}

/** A build's content hash in a file name, such as `index-Bq3xV0aP.js`. */
const HASHED_NAME = /[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$/

/** The UI's page; a plain page naming the server when no UI is installed. */
export async function answerIndex(uiDir: string | undefined, name: string): Promise<Reply> {
  const page = uiDir === undefined ? undefined : await readAsset(join(uiDir, 'index.html'))
  return {
    status: 200,
    headers: { ...PAGE_HEADERS, 'Cache-Control': 'no-cache' },
    body: page ?? plainPage(name),
  }
}

/** The file at `path`, the part after the prefix; 404 when there is none or it lies outside the folder. */
export async function answerAsset(uiDir: string | undefined, path: string): Promise<Reply> {
  const file = uiDir === undefined ? undefined : assetFile(uiDir, path)
  const body = file === undefined ? undefined : await readAsset(file)
  if (body === undefined) return textReply(404, 'file not found')
  const immutable = path.startsWith('assets/') && HASHED_NAME.test(path)
  return {
    status: 200,
    headers: {
      'Content-Type': CONTENT_TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream',
      'Cache-Control': immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
      'X-Content-Type-Options': 'nosniff',
    },
    body,
  }
}

/** Names that start with a dot are never served: that rules out `..` as well. */
function assetFile(uiDir: string, path: string): string | undefined {
  const segments = path.split('/')
  const plain = segments.every((segment) => /^[\w@+~-][\w@+~.-]*$/.test(segment))
  return plain ? join(uiDir, ...segments) : undefined
}

async function readAsset(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR') return undefined
    throw new StateError('storage_failed', 'ooo: UI file not readable', { cause })
  }
}

function plainPage(name: string): string {
  const title = name.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${title}</title>
<h1>${title}</h1>
<p>The server is running. Read and write keys at <code>/{key}</code>; the web UI is not installed.</p>
</html>
`
}
