/** Section 11.4: what clients see of a server that closes. */
import { waitFor } from '../../support/wait.ts'
import { ensure, equal } from './assert.ts'
import { section, type WireCase } from './case.ts'

export const shutdownCases: readonly WireCase[] = section(
  '11.4',
  {
    'a request under way is answered, a later one is not': async (target) => {
      let finish: (() => void) | undefined
      const own = await target.own({
        prepare: (server) =>
          void server.endpoint({
            path: '/slow',
            methods: { GET: {} },
            handler: (_request, response) => {
              finish = () => response.end('done')
            },
          }),
      })
      const answer = own.get('/slow')
      await waitFor(() => finish, { what: 'the request' })
      const closed = own.shutDown()
      const refused = async (): Promise<boolean> =>
        own.get('/a').then(
          ({ status }) => status === 503,
          () => true,
        )
      await waitFor(refused, { what: 'the end of accepting' })
      finish?.()
      equal((await answer).body, 'done', 'the answer')
      await closed
    },
    'a request that goes on is cut at the deadline': async (target) => {
      let begun = false
      const own = await target.own({
        deadlineMs: 50,
        prepare: (server) =>
          void server.endpoint({
            path: '/endless',
            methods: { GET: {} },
            handler: () => {
              begun = true
            },
          }),
      })
      const answer = own.get('/endless').then(
        () => 'answered',
        () => 'cut',
      )
      await waitFor(() => begun, { what: 'the request' })
      await own.shutDown()
      equal(await answer, 'cut', 'the request')
    },
    'everything still works for what runs before a shutdown': async (target) => {
      const statuses: number[] = []
      let whole: Promise<void> | undefined
      const own = await target.own({
        prepare: ({ hooks }) => void hooks.on('preShutdown', () => whole),
      })
      const probe = await own.subscribe('/a')
      let begin = (): void => undefined
      const begun = new Promise<void>((resolve) => {
        begin = resolve
      })
      whole = begun.then(async () => {
        statuses.push((await own.post('/a', '1')).status, (await own.get('/a')).status)
        await probe.frame(1)
      })
      const closed = own.shutDown()
      begin()
      await closed
      equal(statuses, [200, 200], 'statuses')
      equal(probe.frames.length, 2, 'frames')
    },
    'the clock and every subscription end': async (target) => {
      const own = await target.own()
      const probes = await Promise.all(['/', '/a', '/*'].map((path) => own.subscribe(path)))
      await own.shutDown()
      for (const probe of probes) {
        const { code } = await waitFor(() => probe.closed, { what: 'the close' })
        ensure([1001, 1006].includes(code), `close code ${code}`)
      }
    },
  },
  { needs: 'own' },
)
