/** One metric of the cluster in the text format that Prometheus and others collect. */

/** One value of a metric; undefined: it has none now. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number | undefined
}

type Kind = 'gauge' | 'counter'

/** A metric with its help text; empty without samples that have a value. */
export function metric(name: string, kind: Kind, help: string, samples: readonly Sample[]): string {
  const lines = samples.flatMap(({ labels, value }) =>
    value === undefined ? [] : [`ooo_cluster_${name}${labelText(labels)} ${value}\n`],
  )
  if (lines.length === 0) return ''
  const full = `ooo_cluster_${name}`
  return `# HELP ${full} ${help}\n# TYPE ${full} ${kind}\n${lines.join('')}`
}

function labelText(labels: Sample['labels']): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escaped(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
}
