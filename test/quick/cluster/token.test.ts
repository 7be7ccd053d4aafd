/** What a node says when its leader does not take its token. */
import { expect, it } from 'vitest'
import { explainRefusal } from '../../../cluster/members/token.ts'

it('a leader that does not take the token is told from one that is away', () => {
  const advice = ": its cluster token is another one than this node's"
  const refused = 'Unexpected server response: 401'
  expect(explainRefusal(refused)).toBe(refused + advice)
  expect(explainRefusal('Unexpected server response: 403')).toContain('--open-cluster')
  for (const other of [
    'Unexpected server response: 4010',
    'Unexpected server response: 503; retry in 9 ms',
    '',
  ]) {
    expect(explainRefusal(other)).toBe(other)
  }
})
