/** Records, as they are spelled in a message, that no node may hold, with what the refusal says. */

const STAMP = '1767225600000000000'
const FAR = '9'.repeat(19)

export const BAD_RECORDS: readonly (readonly [string, unknown, RegExp])[] = [
  ['under a glob', ['items/*', 'l', STAMP, '0', '1'], /no key of an entry/],
  ['under a key with a space', ['items/a b', 'l', STAMP, '0', '1'], /no key of an entry/],
  ['under a key beyond all bounds', [`items/${'a\u0000'.repeat(50_000)}`, 'l', STAMP], /no key/],
  ['under a number', [7, 'l', STAMP, '0', '1'], /no key of an entry/],
  ['whose data is no JSON', ['items/a', 'l', STAMP, '0', '{'], /invalid JSON/],
  ['whose data is empty', ['items/a', 'l', STAMP, '0', ''], /invalid JSON/],
  ['whose data is a number', ['items/a', 'l', STAMP, '0', 1], /data/],
  ['whose data is half a character', ['items/a', 'l', STAMP, '0', '"\ud800"'], /surrogate/],
  ['stamped beyond the year 2200', ['items/a', 'l', FAR, '0', '1'], /stamp 9{19}/],
  ['overwritten beyond the year 2200', ['items/a', 'l', STAMP, FAR, '1'], /stamp 9{19}/],
  ['deleted beyond the year 2200', ['items/a', 'l', FAR], /stamp 9{19}/],
  ['stamped with a number', ['items/a', 'l', 1_767_225_600, '0', '1'], /stamp 1767225600/],
  ['stamped before 1970', ['items/a', 'l', '-1', '0', '1'], /stamp -1/],
  ['of a number', ['items/a', 7, STAMP, '0', '1'], /origin 7/],
  ['of an origin beyond all bounds', ['items/a', 'l'.repeat(2000), STAMP, '0', '1'], /origin "l/],
  ['with a field that is a number', ['items/a', 'l', STAMP, '0', '1', { note: 7 }], /fields/],
  ['with no marks', ['items/a', 'l', STAMP, { marks: 'never' }], /fields/],
  ['with a mark beyond 2200', ['items/a', 'l', STAMP, { marks: `${FAR}@n` }], /fields/],
  ['that was beyond 2200 before', ['items/a', 'l', STAMP, { was: `${FAR}@n` }], /fields/],
  ['of two parts', ['items/a', 'l'], /parts/],
  ['of none', [], /no key/],
  ['that is null', null, /no record/],
  ['that is a text', 'items/a', /no record/],
]
