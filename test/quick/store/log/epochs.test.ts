import { expect, test } from 'vitest'
import {
  beginEpoch,
  currentEpoch,
  isOnLog,
  previousEpoch,
} from '../../../../src/store/log/epochs.ts'

const list = beginEpoch(beginEpoch(beginEpoch(undefined, 'e1', 0), 'e2', 10), 'e3', 15)

test('the newest epoch is the current one', () => {
  expect(currentEpoch(list)).toBe('e3')
  expect(previousEpoch(list)).toBe('e2')
  expect(previousEpoch(beginEpoch(undefined, 'e1', 0))).toBeUndefined()
})

test('a position is on the log up to where the next epoch began', () => {
  expect(isOnLog(list, 20, { epoch: 'e1', seq: 10 })).toBe(true)
  expect(isOnLog(list, 20, { epoch: 'e1', seq: 11 })).toBe(false)
  expect(isOnLog(list, 20, { epoch: 'e2', seq: 15 })).toBe(true)
  expect(isOnLog(list, 20, { epoch: 'e3', seq: 20 })).toBe(true)
  expect(isOnLog(list, 20, { epoch: 'e3', seq: 21 })).toBe(false)
  expect(isOnLog(list, 20, { epoch: 'other', seq: 1 })).toBe(false)
})

test('the list of epochs is bounded; positions in forgotten ones are not on the log', () => {
  let stored = list
  for (let i = 0; i < 300; i++) stored = beginEpoch(stored, `x${i}`, 20 + i)
  expect(JSON.parse(stored)).toHaveLength(256)
  expect(isOnLog(stored, 400, { epoch: 'e1', seq: 1 })).toBe(false)
})
