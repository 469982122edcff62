/** What is refused to pages, and what was left out for them. */
import { labelled, type Metric } from './metric.ts'

export const webMetrics: readonly Metric[] = [
  labelled(
    'mqtide_messages_shaped_total',
    'Messages that shaped subscriptions left out, as was asked for: by where, sample, rate or latest. They are no drops.',
    'by',
    (c) => c.messagesShaped,
  ),
  labelled(
    'mqtide_pages_refused_total',
    'Requests of HTTP refused for the page that made them (origin) or the name that was asked for (host).',
    'reason',
    (c) => c.pagesRefused,
  ),
  labelled(
    'mqtide_tickets_refused_total',
    'Tickets that were not given or not taken, by why.',
    'reason',
    (c) => c.ticketsRefused,
  ),
]
