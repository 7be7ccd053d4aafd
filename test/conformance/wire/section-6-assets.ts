/** Section 6.6: files of the web UI. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { equal, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'

const TYPES: Readonly<Record<string, string>> = {
  'assets/index-Bq3xV0aP.js': 'application/javascript',
  'assets/index-Bq3xV0aP.css': 'text/css',
  'assets/logo-Bq3xV0aP.svg': 'image/svg+xml',
  'assets/data-Bq3xV0aP.bin': 'application/octet-stream',
}

export const assetCases: readonly WireCase[] = section(
  '6.6',
  {
    'an asset has the type of its suffix and may be kept for a year': async (target) => {
      const folder = uiFolder()
      try {
        const own = await target.own({ uiDir: folder, static: true })
        for (const [path, type] of Object.entries(TYPES)) {
          const { status, headers, body } = await own.get(`/-/ui/${path}`)
          equal([status, body, headers['content-type']], [200, path, type], path)
          matches(headers['cache-control'], /^public, max-age=31536000\b/, 'Cache-Control')
        }
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
    'a missing asset is 404 with its text': async (target) => {
      const folder = uiFolder()
      try {
        const own = await target.own({ uiDir: folder })
        const { status, body } = await own.get('/-/ui/assets/absent.js')
        equal([status, body], [404, 'file not found'], 'answer')
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
    'the page is the one of the folder': async (target) => {
      const folder = uiFolder()
      try {
        const own = await target.own({ uiDir: folder })
        const { body, headers } = await own.get('/')
        equal([body, headers['content-type']], ['the page', 'text/html; charset=utf-8'], 'answer')
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
  },
  { needs: 'own' },
)

/** A folder with a page and one file per type, each holding its own path. */
function uiFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ooo-wire-ui-'))
  writeFileSync(join(folder, 'index.html'), 'the page')
  for (const path of Object.keys(TYPES)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), path)
  }
  return folder
}
