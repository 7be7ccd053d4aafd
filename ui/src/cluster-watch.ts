/** Asks the node again and again how its cluster stands, while the page shows. */

/** Time between two questions, milliseconds. */
const INTERVAL_MS = 5_000
/** Longest wait for an answer, milliseconds. */
const TIMEOUT_MS = 4_000
const NO_MEMBER = 404

/** Hands each report over, undefined when none came. Ends when the node is no member of a cluster. */
export function watchCluster(onReport: (report: unknown) => void): void {
  const ask = async (): Promise<void> => {
    if (document.visibilityState === 'visible') {
      const answer = await fetchReport()
      onReport(answer.report)
      if (answer.status === NO_MEMBER) return
    }
    setTimeout(ask, INTERVAL_MS)
  }
  void ask()
}

async function fetchReport(): Promise<{ readonly status: number; readonly report: unknown }> {
  try {
    const response = await fetch('/-/cluster', { signal: AbortSignal.timeout(TIMEOUT_MS) })
    const { ok, status } = response
    return { status, report: ok ? await response.json() : undefined }
  } catch {
    // No answer is no report; the header says that the node is out of reach.
    return { status: 0, report: undefined }
  }
}
