/**
 * A real cluster for tests: the one that `KUBECONFIG` names, used by `kubectl`, in the namespace of its
 * context. What a test makes there it removes.
 */
import { spawnSync } from 'node:child_process'
import { type KubeConfig, loadKubeConfig } from '../../cluster/election/lease/kube-config.ts'

/** Empty: there is none, and tests that need one are skipped. */
export const KUBECONFIG: string = process.env.KUBECONFIG ?? ''

/** How the product reaches the cluster. @throws StateError when the file says too little. */
export function realConfig(): KubeConfig {
  return loadKubeConfig({ env: { KUBECONFIG } })
}

/** Runs `kubectl`, with `input` as its standard input. @throws Error with what it said. */
export function kubectl(args: readonly string[], input?: unknown): string {
  const { error, status, stdout, stderr } = spawnSync('kubectl', args, {
    encoding: 'utf8',
    timeout: 60_000,
    ...(input === undefined ? {} : { input: JSON.stringify(input) }),
  })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`)
  return stdout
}

/** Makes a pod that no machine runs, which any policy of the namespace allows. */
export function makePod(name: string, labels: Readonly<Record<string, string>> = {}): void {
  kubectl(['create', '--filename', '-'], {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels },
    spec: {
      // The scheduler leaves it alone.
      schedulerName: 'none',
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'node',
          image: 'none',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          resources: {
            requests: { cpu: '1m', memory: '1Mi' },
            limits: { cpu: '1m', memory: '1Mi' },
          },
        },
      ],
    },
  })
}

/** Removes objects, such as `pod/a`, whether they are there or not. */
export function remove(...names: readonly string[]): void {
  kubectl(['delete', '--ignore-not-found', '--grace-period=0', '--force', ...names])
}

/** The labels of a pod; undefined when there is no such pod. */
export function podLabels(name: string): Readonly<Record<string, string>> | undefined {
  const text = kubectl(['get', 'pod', name, '--ignore-not-found', '--output', 'json'])
  if (text === '') return undefined
  const { metadata } = JSON.parse(text) as { metadata: { labels?: Record<string, string> } }
  return metadata.labels ?? {}
}
