/** Who may do something, asked of the topic that comes of the one in the question. */
import { Rewrites } from '../core/rewrite/rewrites.ts'
import { readOnlyBecause } from './namespace-of.ts'
import { rewritesOf } from './rewrite.ts'
import type { GatewayConfig } from './schema.ts'

interface Said {
  allowed: boolean
  because: string
}

type AskedOf = { action: string; topic?: string } | { action: 'subscribe'; filter: string }

/** What somebody may do, asked of the topics that come of the one in the question: of several, all of them. */
export function explainRewritten<Question extends AskedOf>(
  config: GatewayConfig,
  namespace: string,
  question: Question,
  judge: (question: Question) => Said,
): Said {
  const asked = rewrittenQuestions(config, namespace, question)
  const answers = asked.map(judge)
  const answer = answers.find(({ allowed }) => !allowed) ?? answers[0]!
  if (asked[0] === question) return answer
  const names = asked.map((one) => ('filter' in one ? one.filter : (one as { topic?: string }).topic))
  return { ...answer, because: `${answer.because} (rewritten to ${names.join(', ')})` }
}

function rewrittenQuestions<Question extends AskedOf>(
  config: GatewayConfig,
  namespace: string,
  question: Question,
): Question[] {
  const rewrites = new Rewrites(rewritesOf(config)[namespace] ?? [])
  if (question.action === 'subscribe' && 'filter' in question) {
    const filter = rewrites.filter(question.filter)
    return [filter === question.filter ? question : { ...question, filter }]
  }
  if (question.action !== 'publish' || !('topic' in question)) return [question]
  const { topic } = question
  if (topic === undefined || readOnlyBecause(config, namespace, topic) !== undefined) return [question]
  return rewrites.topic(topic)?.targets.map((one) => ({ ...question, topic: one.topic })) ?? [question]
}
