/** Metrics by their name in /metrics, label and all: `mqtt_messages_dropped_total{reason="queue_full"}`. */
export type Metrics = Readonly<Record<string, number>>

/** Of one metric, by the value of its label. */
export function byLabel(metrics: Metrics, name: string): [label: string, value: number][] {
  const found: [string, number][] = []
  for (const [series, value] of Object.entries(metrics)) {
    const label = series.startsWith(`${name}{`) ? /="((?:[^"\\]|\\.)*)"/.exec(series)?.[1] : undefined
    if (label !== undefined) found.push([label, value])
  }
  return found
}

export function sumOf(metrics: Metrics, name: string): number {
  return byLabel(metrics, name).reduce((sum, [, value]) => sum + value, metrics[name] ?? 0)
}
