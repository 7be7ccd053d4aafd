/** The public npm package `ooo-client`, unchanged, as one script for a page. */
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

/** A script that defines the global function `oooClient`: the package's default export. */
export async function bundleOooClient(): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: 'warn',
    build: {
      write: false,
      minify: false,
      lib: {
        entry: fileURLToPath(import.meta.resolve('ooo-client')),
        formats: ['iife'],
        name: 'oooClient',
      },
    },
  })
  const [output] = Array.isArray(result) ? result : [result]
  const chunk = output !== undefined && 'output' in output ? output.output[0] : undefined
  if (chunk === undefined) throw new Error('ooo-client could not be bundled')
  return chunk.code
}
