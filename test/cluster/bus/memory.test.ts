import { MemoryBus } from '../../../cluster/bus/memory.ts'
import { describeBus } from '../../conformance/bus.ts'

const bus = new MemoryBus()
let sides = 0

describeBus('a bus in memory', () => ({
  connect: () => bus.connect(`side ${++sides}`),
  goAway: async () => bus.goAway(),
  comeBack: async () => bus.comeBack(),
}))
