/** Settings of `ooo serve` that contradict each other, refused by the names they were given under. */
import { StateError } from '../../src/core/errors.ts'
import { refuseHalfElected } from './groups/election.ts'
import type { Resolved } from './reading/resolve.ts'
import type { ServeConfig } from './serve-config.ts'

/** @throws StateError `invalid_option` naming the settings and what to do. */
export function refuseContradictions({ values, sources }: Resolved<ServeConfig>): void {
  refuseSecondStorage({ values, sources })
  refuseHalfShared({ values, sources })
  refuseHalfElected(values, sources)
  if (values.openCluster && values.clusterToken !== undefined) {
    throw new StateError(
      'invalid_option',
      `${sources.openCluster} and ${sources.clusterToken} exclude each other: with a token only who shows it may join`,
    )
  }
  if (values.memory && values.durability !== undefined && values.durability !== 'memory') {
    throw new StateError(
      'invalid_option',
      `${sources.durability}: "${values.durability}" is not allowed with ${sources.memory}; give memory`,
    )
  }
  if (values.memory && values.cache !== 'all') {
    throw new StateError(
      'invalid_option',
      `${sources.memory} and ${sources.cache} exclude each other: without a folder there is nothing to read the rest from`,
    )
  }
  if ((values.tlsCert === undefined) !== (values.tlsKey === undefined)) {
    const given = sources.tlsCert ?? sources.tlsKey
    throw new StateError(
      'invalid_option',
      `${given}: a certificate and its key go together; give both --tls-cert and --tls-key`,
    )
  }
  if (values.clusterUrl !== undefined && values.keys.length === 0) {
    throw new StateError(
      'invalid_option',
      `${sources.clusterUrl}: a follower needs keys to replicate; give at least one --key`,
    )
  }
  if (values.redis !== undefined && values.keys.length === 0) {
    throw new StateError(
      'invalid_option',
      `${sources.redis}: there is nothing to carry without keys to replicate; give at least one --key`,
    )
  }
  if (values.redisCa !== undefined && values.redis === undefined) {
    throw new StateError('invalid_option', `${sources.redisCa}: there is no Redis; give --redis`)
  }
}

/** Shared tables and their database go together. */
function refuseHalfShared({ values, sources }: Resolved<ServeConfig>): void {
  const shares = Object.keys(values.postgresTables).length > 0
  if (shares && values.postgresTablesUrl === undefined && values.postgres === undefined) {
    throw new StateError(
      'invalid_option',
      `${sources.postgresTables}: needs a database; give --postgres-tables-url`,
    )
  }
  if (!shares && sources.postgresTablesUrl !== undefined) {
    throw new StateError(
      'invalid_option',
      `${sources.postgresTablesUrl}: nothing is shared; give --postgres-tables`,
    )
  }
}

/** Data is kept in one place. */
function refuseSecondStorage({ values, sources }: Resolved<ServeConfig>): void {
  const given = [
    values.memory ? sources.memory : undefined,
    values.postgres === undefined ? undefined : sources.postgres,
    sources.data,
  ].filter((source) => source !== undefined)
  if (given.length > 1) {
    throw new StateError(
      'invalid_option',
      `${given.join(' and ')} exclude each other: data is kept either in memory, in a folder or in a database`,
    )
  }
  if (values.postgres === undefined && sources.postgresNamespace !== undefined) {
    throw new StateError(
      'invalid_option',
      `${sources.postgresNamespace}: needs a database; give --postgres`,
    )
  }
}
