/** Which keys are shared through which table, as texts give it. */
import { assertTableName } from '../../../postgres/tables/arguments.ts'
import { assertKey } from '../../../src/core/keys/key.ts'
import type { Kind } from '../reading/setting.ts'

/** From key or glob to the table's name. */
export type TableScopes = Readonly<Record<string, string>>

/** `orders/*=orders`; may be repeated, and one text may hold several divided by commas. */
export const TABLE_SCOPES: Kind<TableScopes> = {
  placeholder: 'PATH=TABLE',
  allowed: 'a key or glob and a table such as orders/*=orders (letters, digits and _)',
  parse: (text) => {
    const scopes = text.split(',').map((scope) => scope.trim().split('='))
    return scopes.every(isScope) ? Object.fromEntries(scopes) : undefined
  },
  join: (values) => Object.assign({}, ...values) as TableScopes,
}

function isScope(scope: readonly string[]): boolean {
  const [path = '', table = '', ...more] = scope
  try {
    assertKey(path)
    assertTableName(table)
    return more.length === 0
  } catch {
    return false
  }
}
