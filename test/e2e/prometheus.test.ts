/**
 * A real Prometheus scrapes a real gateway as docs/monitoring.md says, and evaluates what the Grafana dashboard and the alert rules there ask: each query
 * has an answer, and each alert comes when it should and only then.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'
import { run } from './program.ts'

const docs = new URL('../../docs/monitoring/', import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, docs), 'utf8')

interface Panel {
  title: string
  type: string
  targets?: { expr: string }[]
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

describePeer('Prometheus', ['prometheus', 'promtool'], ({ prometheus, promtool }) => {
  let folder: string
  const ends: (() => Promise<unknown>)[] = []
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'mqtide-prometheus-'))
  })
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
    rmSync(folder, { recursive: true })
  })

  /** Scrapes every second. Returns what asks it. */
  async function startPrometheus(gateway: Gateway) {
    const target = `127.0.0.1:${gateway.addresses.http!.port}`
    const token = join(folder, 'token')
    writeFileSync(token, gateway.addApiToken('prometheus', 'viewer'))
    const config = read('prometheus.yml')
      .replace('127.0.0.1:8083', target)
      .replace('scrape_interval: 15s', 'scrape_interval: 1s')
      .replace('# authorization:', 'authorization:')
      .replace('/etc/prometheus/mqtide.token', token)
    expect(config).toContain(token)
    writeFileSync(join(folder, 'prometheus.yml'), config)
    writeFileSync(join(folder, 'mqtide-alerts.yml'), read('mqtide-alerts.yml'))
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const words = [`--config.file=${join(folder, 'prometheus.yml')}`, `--storage.tsdb.path=${join(folder, 'data')}`]
    const child = spawn(prometheus, [...words, `--web.listen-address=127.0.0.1:${port}`], { stdio: 'ignore' })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    ends.push(() => {
      child.kill()
      return ended
    })
    const ask = async (expr: string) => {
      const response = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expr)}`)
      const { status, error, data } = (await response.json()) as {
        status: string
        error?: string
        data?: { result: { metric: Record<string, string>; value: [number, string] }[] }
      }
      expect(error, expr).toBeUndefined()
      expect(status, expr).toBe('success')
      return data!.result
    }
    await eventually(() =>
      fetch(`${url}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      ),
    ).toBe(true)
    return ask
  }

  it('answers each query of the dashboard, of a gateway whose metrics need a token', async () => {
    const dataDir = join(folder, 'gateway')
    const gateway = await startGateway({ inMemory: false, dataDir, metrics: 'token' })
    const ask = await startPrometheus(gateway)
    const client = await connectClient(gateway, { clientId: 'a', clean: false })
    await client.mqtt.subscribeAsync('t', { qos: 1 })
    const publishing = setInterval(() => client.mqtt.publish('t', 'x', { qos: 1, retain: true }), 50)
    ends.push(async () => clearInterval(publishing))
    await eventually(async () => (await ask('count_over_time(storage_commit_seconds_count[1m]) > 3')).length).toBe(1)
    const { panels } = JSON.parse(read('grafana-dashboard.json')) as { panels: Panel[] }
    const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))
    expect(queries.length).toBeGreaterThan(30)
    const empty: string[] = []
    for (const { title, expr } of queries) {
      const asked = expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.+')
      if ((await ask(asked)).length === 0) empty.push(title)
    }
    // There is no TLS here.
    expect(empty).toEqual(['Certificates expire in'])
    const quantile = await ask('histogram_quantile(0.99, rate(storage_commit_seconds_bucket[1m]))')
    expect(Number(quantile[0]!.value[1])).toBeGreaterThan(0)
    expect(await ask('ALERTS{alertstate="firing"}')).toEqual([])
    // One that is not there would have no answer either where a query stands in 0 for nothing, nor ever raise an alert.
    const url = `http://127.0.0.1:${gateway.addresses.http!.port}/metrics`
    const headers = { authorization: `Bearer ${gateway.addApiToken('reader', 'viewer')}` }
    const text = await (await fetch(url, { headers })).text()
    const known = new Set([...text.matchAll(/^# HELP (\S+)/gm)].map(([, name]) => name!))
    const asked = [...queries.map(({ expr }) => expr), read('mqtide-alerts.yml')].join('\n')
    const names = [...asked.matchAll(/\b(?:mqtt|mqtide|storage|store|nodejs|process)_\w+/g)].map(([name]) =>
      name.replace(/_(bucket|sum|count)$/, ''),
    )
    const unknown = new Set(names.filter((name) => !known.has(name)))
    // It is there with the first certificate.
    expect([...unknown]).toEqual(['mqtide_certificate_expires_at_seconds'])
  })

  it('raises each alert of the rules when its time has come, and none of a gateway that is well', async () => {
    const rules = join(folder, 'mqtide-alerts.yml')
    const tests = join(folder, 'tests.yml')
    writeFileSync(rules, read('mqtide-alerts.yml'))
    const names = [...read('mqtide-alerts.yml').matchAll(/alert: (\w+)/g)].map(([, name]) => name!)
    expect(Object.keys(ill).sort()).toEqual(names.toSorted())
    const seriesOf = (lines: readonly string[], instance: string) =>
      lines.map((line) => {
        const [series, values] = line.split(' = ')
        return { series: series!.replace('instance="g"', `instance="${instance}"`), values: values! }
      })
    const firing = (instance: string, alertnames: string[]) => ({
      expr: `count by (alertname) (ALERTS{instance="${instance}",alertstate="firing"})`,
      eval_time: '6h',
      exp_samples: alertnames.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 })),
    })
    // Each alert's ill gateway has its name, beside one that is well.
    const test = {
      interval: '1m',
      input_series: [...seriesOf(well, 'well'), ...names.flatMap((name) => seriesOf(ill[name]!, name))],
      promql_expr_test: [firing('well', []), ...names.map((name) => firing(name, [name]))],
    }
    // JSON is YAML.
    writeFileSync(tests, JSON.stringify({ rule_files: [rules], evaluation_interval: '1m', tests: [test] }))
    const { exitCode, stdout, stderr } = await run(promtool, ['test', 'rules', tests])
    expect(`${stdout.toString()}${stderr}`).toContain('SUCCESS')
    expect(exitCode).toBe(0)
  })
})

const gatewayLabels = 'instance="g",job="mqtide"'

/** Six hours of a gateway that is well. */
const well = [
  `up{${gatewayLabels}} = 1x360`,
  `process_start_time_seconds{${gatewayLabels}} = 1000x360`,
  `store_full{${gatewayLabels}} = 0x360`,
  `storage_disk_free_bytes{${gatewayLabels}} = 100000000000-1000x360`,
  `store_damaged_total{${gatewayLabels}} = 0x360`,
  `storage_commit_seconds_bucket{${gatewayLabels},le="0.005"} = 0+100x360`,
  `storage_commit_seconds_bucket{${gatewayLabels},le="1"} = 0+100x360`,
  `storage_commit_seconds_bucket{${gatewayLabels},le="+Inf"} = 0+100x360`,
  `mqtt_messages_dropped_total{${gatewayLabels},reason="queue_full"} = 5x360`,
  `mqtt_messages_dropped_total{${gatewayLabels},reason="expired"} = 0+100x360`,
  `mqtt_closed_unacknowledged_total{${gatewayLabels}} = 0x360`,
  `mqtt_budget_used{${gatewayLabels},kind="queueBytes"} = 10x360`,
  `mqtt_budget_limit{${gatewayLabels},kind="queueBytes"} = 100x360`,
  `nodejs_eventloop_lag_p99_seconds{${gatewayLabels}} = 0.02x360`,
  `mqtt_connects_total{${gatewayLabels},result="success"} = 0+1x360`,
  `mqtt_listener_clients{${gatewayLabels},listener="tcp-1883"} = 100x360`,
  `mqtt_auth_total{${gatewayLabels},result="yes"} = 0+600x360`,
  `mqtide_certificate_expires_at_seconds{${gatewayLabels},listener="tls",subject="g"} = 10000000x360`,
  `mqtt_log_lines_dropped_total{${gatewayLabels},reason="not_taken"} = 0x360`,
]

/** By alert: series of a gateway that is ill. */
const ill: Record<string, string[]> = {
  MqtideDown: [`up{${gatewayLabels}} = 0x360`],
  MqtideRestarts: [`process_start_time_seconds{${gatewayLabels}} = 1000+60x360`],
  MqtideStoreFull: [`store_full{${gatewayLabels}} = 1x360`],
  MqtideDiskFillsUp: [`storage_disk_free_bytes{${gatewayLabels}} = 100000000000-200000000x360`],
  MqtideStoreDamaged: [`store_damaged_total{${gatewayLabels}} = 0x330 5x30`],
  MqtideCommitsSlow: [
    `storage_commit_seconds_bucket{${gatewayLabels},le="0.5"} = 0+50x360`,
    `storage_commit_seconds_bucket{${gatewayLabels},le="1"} = 0+100x360`,
    `storage_commit_seconds_bucket{${gatewayLabels},le="+Inf"} = 0+100x360`,
  ],
  MqtideDropsMessages: [`mqtt_messages_dropped_total{${gatewayLabels},reason="queue_full"} = 0+10x360`],
  MqtideUnacknowledged: [`mqtt_closed_unacknowledged_total{${gatewayLabels}} = 0+1x360`],
  MqtideBudgetNearlyUsed: [
    `mqtt_budget_used{${gatewayLabels},kind="queueBytes"} = 95x360`,
    `mqtt_budget_limit{${gatewayLabels},kind="queueBytes"} = 100x360`,
  ],
  MqtideEventLoopSlow: [`nodejs_eventloop_lag_p99_seconds{${gatewayLabels}} = 0.5x360`],
  MqtideClientsReconnect: [
    `mqtt_connects_total{${gatewayLabels},result="success"} = 0+6000x360`,
    `mqtt_listener_clients{${gatewayLabels},listener="tcp-1883"} = 100x360`,
  ],
  MqtideLoginsRefused: [`mqtt_auth_total{${gatewayLabels},result="wrong_password"} = 0+600x360`],
  MqtideCertificateExpires: [
    `mqtide_certificate_expires_at_seconds{${gatewayLabels},listener="tls",subject="g"} = 100000x360`,
  ],
  MqtideLogIncomplete: [`mqtt_log_lines_dropped_total{${gatewayLabels},reason="not_taken"} = 0+1x360`],
}
