import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import {
  type CloseSignal,
  type SignalSource,
  waitClose,
} from '../../../src/server/process/wait-close.ts'
import { serve } from '../serve.ts'

describe('waitClose', () => {
  it.each<CloseSignal>(['SIGINT', 'SIGTERM', 'SIGHUP'])(
    'closes the server at %s, says so, and listens no longer',
    async (signal) => {
      const { server } = await serve()
      const source = new EventEmitter()
      const waiting = waitClose(server, source as SignalSource)
      expect(server.address).toBeDefined()
      source.emit(signal)
      expect(source.eventNames()).toEqual([])
      expect(await waiting).toBe(signal)
      expect(server.address).toBeUndefined()
    },
  )

  it('fails as close does', async () => {
    const source = new EventEmitter()
    const close = () => Promise.reject(new Error('stuck'))
    const waiting = waitClose({ close }, source as SignalSource)
    source.emit('SIGTERM')
    await expect(waiting).rejects.toThrow('stuck')
  })
})
