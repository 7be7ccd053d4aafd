/** Section 3.6: the deadline, and what every answer varies by; the rows of a failing storage. */
import { MemoryStorage } from '../../../storage-adapters/memory/memory.ts'
import { ensure, equal, listOf, matches } from './assert.ts'
import { section, type WireCase } from './case.ts'

export const limitsCases: readonly WireCase[] = [
  ...section('3.6', {
    'nothing is compressed for a request with an Upgrade header': async (target) => {
      await target.store(target.at('a'), JSON.stringify('text '.repeat(2000)))
      const { status, headers } = await target.get(target.at('a'), {
        'accept-encoding': 'gzip',
        upgrade: 'h2c',
      })
      equal([status, headers['content-encoding']], [200, undefined], 'status and encoding')
    },
    'every answer varies by origin and encoding': async (target) => {
      for (const [method, name, body] of [
        ['POST', 'a', '1'],
        ['GET', 'a', undefined],
        ['GET', 'absent', undefined],
        ['PATCH', 'a', '{'],
        ['DELETE', 'a', undefined],
      ] as const) {
        const answer = await target.request(method, target.at(name), body ? { body } : {})
        const names = listOf(answer.headers.vary)
        for (const wanted of ['origin', 'accept-encoding']) {
          ensure(names.includes(wanted), `${method} ${name}: Vary ${names} lacks ${wanted}`)
        }
      }
    },
  }),
  ...section(
    '3.6',
    {
      'a write beyond the deadline is 503': async (target) => {
        const storage = new HeldStorage()
        const own = await target.own({ storage, deadlineMs: 50 })
        await own.store('/a', '{}')
        storage.hold()
        try {
          for (const [method, body] of [
            ['POST', '1'],
            ['PATCH', '{"x":1}'],
            ['DELETE', undefined],
          ] as const) {
            const answer = await own.request(method, '/a', body === undefined ? {} : { body })
            equal([answer.status, answer.body], [503, 'ooo: server deadline reached'], method)
          }
          equal((await own.get('/a')).status, 200, 'status of a read meanwhile')
        } finally {
          storage.release()
        }
        await own.store('/b', '1')
      },
      'without compression nothing is compressed': async (target) => {
        const own = await target.own({ compression: false })
        await own.store('/a', JSON.stringify('text '.repeat(2000)))
        const { headers } = await own.get('/a', { 'accept-encoding': 'gzip' })
        equal(headers['content-encoding'], undefined, 'Content-Encoding')
      },
    },
    { needs: 'own' },
  ),
  ...section(
    '3.3–3.5',
    {
      'a write that the storage fails is 500 with the text': async (target) => {
        for (const [method, body] of [
          ['POST', '1'],
          ['PATCH', '{"x":1}'],
          ['DELETE', undefined],
        ] as const) {
          const storage = new HeldStorage()
          const own = await target.own({ storage })
          await own.store('/a', '{}')
          storage.fail('no space left')
          const answer = await own.request(method, '/a', body === undefined ? {} : { body })
          equal(answer.status, 500, `status of ${method}`)
          matches(answer.body, /no space left/, `body of ${method}`)
        }
      },
    },
    { needs: 'own' },
  ),
]

/** A storage whose writes wait, or fail, when told to. */
class HeldStorage extends MemoryStorage {
  #gate: Promise<void> | undefined
  #open: () => void = () => undefined

  hold(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  release(): void {
    this.#open()
    this.#gate = undefined
  }

  fail(text: string): void {
    this.#gate = Promise.reject(new Error(text))
    this.#gate.catch(() => undefined)
  }

  override async batch(...given: Parameters<MemoryStorage['batch']>): Promise<void> {
    await this.#gate
    return super.batch(...given)
  }
}
