/** To be imported by a process whose wall clock is to be 50 seconds ahead of that of the others. */
const AHEAD_MS = 50_000
const now = Date.now
Date.now = () => now() + AHEAD_MS
Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + AHEAD_MS })
