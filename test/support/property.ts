/**
 * fast-check with a fixed seed: a run of the tests does the same as the one before it. OOO_TEST_SEED
 * tries other cases; what a failing property prints repeats that failure.
 */
import * as fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env.OOO_TEST_SEED ?? 20_260_101) })

export { fc }
