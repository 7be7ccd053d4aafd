import { defineConfig, type UserConfig } from 'vite'

/** The page is served at `/`, its assets below `/-/ui/`, which no key can name. */
const config: UserConfig = defineConfig({
  base: '/-/ui/',
  build: { outDir: '../dist/ui', emptyOutDir: true, target: 'es2022' },
})

export default config
