import { expect, test } from 'vitest'
import { serveVariables } from '../../../cli/settings/config.ts'
import { warnOfMistyped } from '../../../cli/settings/mistyped-variables.ts'

function warnings(...names: string[]): unknown[] {
  const heard: unknown[] = []
  const quiet = (): void => undefined
  const warn = (_message: string, fields: unknown): void => void heard.push(fields)
  const env = Object.fromEntries(names.map((name) => [name, 'x']))
  warnOfMistyped(env, serveVariables(), { debug: quiet, info: quiet, warn, error: quiet })
  return heard
}

test('tells of variables that are nearly a setting, with what was meant', () => {
  expect(warnings('OOO_CLUSTER_TOKN', 'OOO_KEY', 'OOO_CLSUTER_URL')).toEqual([
    { name: 'OOO_CLUSTER_TOKN', meant: 'OOO_CLUSTER_TOKEN' },
    { name: 'OOO_KEY', meant: 'OOO_KEYS' },
    { name: 'OOO_CLSUTER_URL', meant: 'OOO_CLUSTER_URL' },
  ])
})

test('says nothing of settings, of what is far from any, and of the variables of others', () => {
  expect(warnings(...serveVariables())).toEqual([])
  expect(warnings('OOO_PORT_80_TCP', 'OOO_SERVICE_HOST', 'OOO_TEST_IMAGE', 'PORT')).toEqual([])
  expect(warnings('OOO_URL', 'OOO_NODES', 'OOO_SUPERVISED')).toEqual([])
})
