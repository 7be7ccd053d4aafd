/** To be imported by a process whose wall clock is to be ahead of that of the others: `CLOCK_AHEAD_MS`, by default 50 s. */
const AHEAD_MS = Number(process.env.CLOCK_AHEAD_MS ?? 50_000)
const now = Date.now
Date.now = () => now() + AHEAD_MS
Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + AHEAD_MS })
