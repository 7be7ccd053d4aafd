import { afterAll } from 'vitest'
import { PostgresStorage } from '../../storage-adapters/postgres/postgres.ts'
import { describeStorage } from '../conformance/describe-storage.ts'
import { usePostgres } from '../support/services.ts'
import { ServiceLink } from '../support/services-link.ts'
import { failWrites } from './postgres-database.ts'

const postgres = usePostgres()
const links = new Set<ServiceLink>()
let database: Promise<string> | undefined
let namespaces = 0

afterAll(async () => {
  for (const link of links) await link.close()
})

describeStorage({
  name: 'postgres',
  create: async () => {
    namespaces += 1
    const namespace = `suite ${namespaces}`
    database ??= postgres().createDatabase()
    const url = await database
    const link = await ServiceLink.to(url)
    links.add(link)
    return {
      adapter: new PostgresStorage({ url: link.url, namespace }),
      reopen: () => new PostgresStorage({ url, namespace }),
      createSecond: () => new PostgresStorage({ url, namespace, ownershipWaitMs: 100 }),
      crash: async () => {
        // As of a process that is killed, nothing more comes from it.
        link.refuse()
        return new PostgresStorage({ url, namespace })
      },
      disturb: () => failWrites(url, namespace),
      cleanup: async () => {
        links.delete(link)
        await link.close()
      },
    }
  },
})
