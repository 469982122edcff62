/** The Dockerfile and the manifest agree with the program that they run. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const text = (path: string) => readFileSync(join(root, path), 'utf8')
const manifest = () => parseAllDocuments(text('docs/kubernetes/mqtide.yaml')).map((document) => document.toJS())

interface Container {
  args: string[]
  ports: { name: string; containerPort: number }[]
  readinessProbe: { httpGet: { path: string } }
  securityContext: object
}

describe('the image', () => {
  it('is built of what reaches the builder', () => {
    const passed = text('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
    expect(passed.length).toBeGreaterThan(0)
    for (const line of passed) expect([line, existsSync(join(root, line.slice(1)))]).toEqual([line, true])
    const { include, extends: base } = JSON.parse(text('tsconfig.build.json')) as { include: string[]; extends: string }
    for (const needed of [...include, base.slice(2), 'package-lock.json', 'scripts'])
      expect(passed).toContain(`!${needed}`)
  })

  it('copies what the program needs, and runs it as nobody in particular', () => {
    const lines = text('Dockerfile').split('\n')
    for (const needed of ['package.json', 'node_modules', 'bin', 'dist']) {
      expect(lines.some((line) => line.startsWith('COPY --from=build') && line.includes(`/build/${needed}`))).toBe(true)
    }
    expect(lines).toContain('USER 10001:10001')
    const { config } = loadConfig({ file: undefined, environment: {} })
    expect(lines).toContain(`EXPOSE ${config.mqttPort} ${config.httpPort}`)
    expect(text('Dockerfile')).toContain(`127.0.0.1:${config.httpPort}/readyz`)
  })

  it('does not start in a container where nobody said who may come in', () => {
    const environment = Object.fromEntries(
      [...text('Dockerfile').matchAll(/(MQTIDE_\w+)=(\S+)/g)].map(([, name, value]) => [name!, value!]),
    )
    expect(Object.keys(environment)).toEqual(['MQTIDE_HOST', 'MQTIDE_DATA_DIR'])
    expect(() => loadConfig({ file: undefined, environment })).toThrow('no authentication is configured')
    const allowed = { ...environment, MQTIDE_ALLOW_ANONYMOUS: 'true' }
    expect(loadConfig({ file: undefined, environment: allowed }).config).toMatchObject({ dataDir: '/var/lib/mqtide' })
  })
})

describe('the manifest', () => {
  it('runs that image with its user, ports and probes', () => {
    const [configMap, , service, { spec }] = manifest()
    const [container] = spec.template.spec.containers as [Container]
    expect(spec.template.spec.securityContext).toMatchObject({ runAsUser: 10001, runAsNonRoot: true })
    expect(container.securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false })
    expect(container.ports.map(({ containerPort }) => containerPort)).toEqual([1883, 8083])
    expect(service.spec.ports.map(({ port }: { port: number }) => port)).toEqual([1883, 8083])
    expect(container.readinessProbe.httpGet.path).toBe('/readyz')
    expect(container.args).toEqual(['start', '--config', `/etc/mqtide/${Object.keys(configMap.data)[0]}`])
  })
})
