/** What people are told of the bus of a node. */
import type { BusStatus } from '../../src/fanout/bus.ts'
import type { PublisherReport } from './publisher.ts'

export interface BusReport extends BusStatus, PublisherReport {}
