import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

/** What the compiler complains about; empty when nothing. */
function complaints(...args: string[]): string {
  try {
    execFileSync(process.execPath, [TSC, ...args], { cwd: ROOT, stdio: 'pipe' })
    return ''
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout ?? error)
  }
}

describe('the web UI, with the client and core below it', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ooo-ui-types-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('compiles with the types of a browser alone: no Node module, no Node global', () => {
    expect(complaints('-p', 'ui')).toBe('')
  })

  it.each(['process.exit()', "Buffer.from('')", "await import('node:fs')"])(
    'would not compile with %s',
    (code) => {
      writeFileSync(join(folder, 'probe.ts'), `${code}\nexport {}\n`)
      const config = {
        extends: join(ROOT, 'ui/tsconfig.json'),
        compilerOptions: { rootDir: '.' },
        include: ['probe.ts'],
      }
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
      expect(complaints('-p', folder)).toMatch(/error TS2(304|307|580|591)/)
    },
  )
})
