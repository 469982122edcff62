/** Prometheus metrics of a running simulation, on loopback, taken from the last second's tally at each scrape. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Counter, Gauge, Registry } from '@prometheus-io/client'
import { counterNames, latencyKinds } from '../measure/measures.ts'
import type { RunState } from '../run.ts'

export interface MetricsServer {
  url: string
  close(): Promise<void>
}

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const quantiles = [
  ['0.5', 'p50'],
  ['0.9', 'p90'],
  ['0.99', 'p99'],
  ['0.999', 'p999'],
] as const

function createRegistry(latest: () => RunState | undefined): Registry {
  const registry = new Registry()
  const registers = [registry]
  for (const name of counterNames) {
    const counter = new Counter({
      name: `mqtide_simulator_${snakeCase(name)}_total`,
      help: `Simulator counter ${name}.`,
      registers,
      collect() {
        counter.reset()
        counter.inc(latest()?.tally.counters[name] ?? 0)
      },
    })
  }
  const gauge = (name: string, help: string, value: (state: RunState) => number): void => {
    const own = new Gauge({
      name: `mqtide_simulator_${name}`,
      help,
      registers,
      collect() {
        const state = latest()
        own.set(state === undefined ? 0 : value(state))
      },
    })
  }
  gauge('devices', 'Devices of the scenario.', (state) => state.devices)
  gauge('devices_online', 'Devices with an accepted connection.', (state) => state.second.online)
  gauge('messages_pending', 'Messages of QoS 1 and 2 not yet acknowledged.', (state) => state.second.pending)
  gauge('sent_per_second', 'Messages sent in the last second.', (state) => state.second.sentPerSecond)
  gauge('received_per_second', 'Messages received in the last second.', (state) => state.second.receivedPerSecond)
  const latency = new Gauge({
    name: 'mqtide_simulator_latency_seconds',
    help: 'Latency of the measured stages by kind and quantile.',
    labelNames: ['kind', 'quantile'],
    registers,
    collect() {
      const state = latest()
      if (state === undefined) return
      for (const kind of latencyKinds) {
        const figures = state.tally.latency[kind].figures()
        for (const [quantile, point] of quantiles) latency.set({ kind, quantile }, figures[point] / 1000)
      }
    },
  })
  return registry
}

export async function serveMetrics(port: number, latest: () => RunState | undefined): Promise<MetricsServer> {
  const registry = createRegistry(latest)
  const server = createServer(async (request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404).end('The metrics are at /metrics.\n')
      return
    }
    response.writeHead(200, { 'Content-Type': registry.contentType }).end(await registry.metrics())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const { port: bound } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${bound}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
