/** `mqtide explain-topic`: what the rules of rewriting make of a topic or a filter. Reads the configuration; a gateway need not run. */
import type { Command } from 'commander'
import { loadConfig } from '../config/load.ts'
import { rewritesOf } from '../config/rewrite.ts'
import { type RewriteStep, Rewrites } from '../core/rewrite/rewrites.ts'
import type { RewriteRule } from '../core/rewrite/rules.ts'
import { isValidTopicName, parseTopicFilter } from '../mqtt/topic.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'

interface Flags {
  config?: string
  namespace: string
  subscribe?: boolean
}

export function registerExplainTopic(program: Command, context: CliContext): void {
  program
    .command('explain-topic <topic>')
    .description('say what rewriting makes of a topic that is published to, or of a filter that is subscribed to')
    .option('--subscribe', 'it is a filter')
    .option('--namespace <name>', 'namespace of the client', 'default')
    .option('--config <file>', 'configuration file')
    .action((topic: string, flags: Flags) => explainTopic(topic, flags, context))
}

function explainTopic(topic: string, { config: file, namespace, subscribe = false }: Flags, context: CliContext): void {
  const { config } = loadConfig({ file, environment: context.environment })
  if (namespace !== 'default' && !Object.hasOwn(config.namespaces, namespace)) {
    throw new CliError(`no namespace is called ${namespace}`, ExitCode.usage)
  }
  const rules = rewritesOf(config)[namespace] ?? []
  const rewrites = new Rewrites(rules)
  const steps = subscribe ? stepsOfFilter(rewrites, topic) : stepsOfTopic(rewrites, topic)
  const lines = [topic, ...steps.flatMap((step) => linesOf(step, rules.indexOf(step.rule)))]
  if (steps.length === 0) lines.push('  no rule fits: it stays as it is')
  context.stdout.write(`${lines.join('\n')}\n`)
}

function stepsOfTopic(rewrites: Rewrites, topic: string): RewriteStep[] {
  if (!isValidTopicName(topic)) throw new CliError(`not a topic name: ${topic}`, ExitCode.usage)
  return rewrites.stepsOfTopic(topic)
}

function stepsOfFilter(rewrites: Rewrites, filter: string): RewriteStep[] {
  const parsed = parseTopicFilter(filter)
  if (parsed === undefined) throw new CliError(`not a topic filter: ${filter}`, ExitCode.usage)
  return rewrites.stepsOfFilter(parsed.filter)
}

function linesOf({ rule, results }: RewriteStep, index: number): string[] {
  return [
    `  rewrite[${index}]: ${rule.from} -> ${rule.to.map(({ topic }) => topic).join(', ')}`,
    ...resultsOf(rule, results),
  ]
}

function resultsOf({ to, chooseBy }: RewriteRule, results: readonly string[]): string[] {
  if (results.length === 1) return [...results]
  const total = to.reduce((sum, { weight }) => sum + weight, 0)
  const part = (weight: number) => `${Number(((100 * weight) / total).toFixed(2))} %`
  return results.map((topic, index) => `${topic}   (${part(to[index]!.weight)}, by ${chooseBy})`)
}
