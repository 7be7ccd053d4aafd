import type { ReplicationStore } from '../../src/store/replication-store.ts'

/** Keys, or `p/<n>` for a push, with the number of the operation that wrote them. */
export type WorkloadState = Map<string, number>

export function applyTo(state: WorkloadState, n: number): void
export function runOn(store: ReplicationStore, n: number): Promise<unknown>
