import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { clientTextOf, StateError } from '../../src/core/errors.ts'

function systemError(message: string, code: string, syscall: string): Error {
  return Object.assign(new Error(message), { code, syscall })
}

describe('what clients are told of an error', () => {
  it.each([
    [
      systemError('connect ECONNREFUSED 10.0.0.3:5432', 'ECONNREFUSED', 'connect'),
      'connect ECONNREFUSED',
    ],
    [
      systemError('getaddrinfo ENOTFOUND db.internal', 'ENOTFOUND', 'getaddrinfo'),
      'getaddrinfo ENOTFOUND',
    ],
    [systemError("ENOENT: no such file, open '/data/a'", 'ENOENT', 'open'), 'open ENOENT'],
    [new Error('MOVED 7 10.0.0.3:6379'), 'MOVED 7 …'],
    [new Error('cannot reach redis://cache.internal:6379/2'), 'cannot reach …'],
    [new Error('[::1]:6379 is away'), '… is away'],
    [new Error('no answer within 300 ms'), 'no answer within 300 ms'],
    [new Error('NOPERM this user has no permissions'), 'NOPERM this user has no permissions'],
    [new StateError('unreachable', 'db:5432 is away', { clientText: 'away' }), 'away'],
    [
      Object.assign(new Error('Host: db.internal. is not in the cert'), {
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      }),
      'the certificate is of another host (ERR_TLS_CERT_ALTNAME_INVALID)',
    ],
  ])('holds no address: %s', (error, text) => {
    expect(clientTextOf(error)).toBe(text)
  })

  it('holds none of the addresses of a name that has several', async () => {
    const error = await new Promise((failed) => {
      connect({ host: 'localhost', port: 1, autoSelectFamily: true }).once('error', failed)
    })
    expect(clientTextOf(error)).toMatch(/^connect E\w+(, connect E\w+)*$/)
  })
})
