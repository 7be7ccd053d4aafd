import { describeKinds, fileOf } from './describe-kinds.ts'
import { KINDS } from './simulation.ts'

describeKinds(
  'random histories converge and keep what clients were promised, whoever is elected',
  KINDS.filter((kind) => fileOf(kind) === 'elections'),
)
