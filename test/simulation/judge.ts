/**
 * The judgement over a life, when everybody has come back and everything was said: each promise of MQTT against the books.
 */
import { type Books, matches, type Publication, type Receipt, type Span } from './books.ts'

export interface Allowances {
  /** Messages that the gateway said to have dropped, by reason. */
  dropped: ReadonlyMap<string, number>
  /** A queue may be full. */
  limited: boolean
  /** Then the message is refused, and the refusal may be lost with its connection. */
  refuses: boolean
  /** Who is owed what came in each of its epochs, not in the last one alone. */
  through: string
}

const never = Number.POSITIVE_INFINITY

/** The epochs that the clients' sessions have reached. */
export function judge(books: Books, epochs: ReadonlyMap<string, number>, allowances: Allowances): void {
  const byClient = Map.groupBy(books.receipts, ({ client }) => client)
  for (const [client, receipts] of byClient) {
    judgeOrder(books, client, receipts, allowances)
    judgeOnce(books, client, receipts)
    judgeMatching(books, client, receipts)
  }
  const last = epochs.get(allowances.through) ?? 0
  const all = Array.from({ length: last }, (_, i) => [allowances.through, i + 1] as const)
  const missing = [...[...epochs].filter(([client]) => client !== allowances.through), ...all].flatMap(
    ([client, epoch]) =>
      missingOf(books, client, epoch, byClient.get(client) ?? []).map((publication) => ({ ...publication, client })),
  )
  judgeMissing(books, missing, allowances)
  // Which of a full queue's drops was whose is not known.
  if (!allowances.limited) judgeGroups(books, epochs)
}

function judgeOrder(books: Books, client: string, receipts: Receipt[], { refuses, limited }: Allowances): void {
  const last = new Map<string, number>()
  const seen = new Set<string>()
  for (const { id, topic, qos, retain, epoch, at } of receipts) {
    const publication = books.publications.get(id)
    if (publication === undefined || retain || seen.has(id) || topic.startsWith('s/')) continue
    // That of due times is judged by whoever reckons them.
    if (publication.address !== publication.topic) continue
    seen.add(id)
    const stream = `${publication.publisher} ${topic} ${publication.qos} ${qos} ${epoch}`
    // At QoS 1 what is sent again is new to whoever subscribed in between; what was refused was never taken before.
    const again = publication.secondSent < at && (publication.qos === 1 || refuses)
    // What a full queue has dropped is back after a crash that took the drop.
    const back = limited && books.crashes.some((crash) => crash > publication.firstSent && crash < at)
    // So has what expired, where the clock was set back before the next process.
    const revived =
      publication.expirySeconds > 0 && books.jumps.some((jump) => jump > publication.firstSent && jump < at)
    if (publication.sequence < (last.get(stream) ?? -1)) {
      if (again || back || revived) continue
      books.fault(`${client}: ${id} on ${topic} came after number ${last.get(stream)} of its publisher`)
    }
    last.set(stream, publication.sequence)
  }
}

function judgeOnce(books: Books, client: string, receipts: Receipt[]): void {
  const counts = new Map<string, number>()
  for (const { id, qos, retain, epoch } of receipts) {
    if (qos !== 2 || retain || id === '') continue
    const count = (counts.get(`${id} ${epoch}`) ?? 0) + 1
    counts.set(`${id} ${epoch}`, count)
    if (count === 2) books.fault(`${client}: ${id} came more than once at QoS 2`)
  }
}

function judgeMatching(books: Books, client: string, receipts: Receipt[]): void {
  const spans = books.spans.filter((span) => span.client === client)
  for (const { id, topic, at, epoch } of receipts) {
    const publication = books.publications.get(id)
    if (publication === undefined) {
      if (id !== '' && !id.includes('-will-') && !id.startsWith('hostile')) books.fault(`${client}: nobody sent ${id}`)
      continue
    }
    const { firstSent } = publication
    const wanted = (span: Span) =>
      span.epoch === epoch && matches(withoutGroup(span.filter), topic) && span.sent < at && span.ended > firstSent
    if (topic !== publication.topic) books.fault(`${client}: ${id} came on ${topic}, sent on ${publication.topic}`)
    else if (!spans.some(wanted)) books.fault(`${client}: ${id} on ${topic} came without a subscription`)
  }
}

export function withoutGroup(filter: string): string {
  return filter.startsWith('$share/') ? filter.split('/').slice(2).join('/') : filter
}

/** It was there from before the first sending to after the acknowledgement. */
function covers(span: Span, publication: Publication): boolean {
  return span.sure < publication.firstSent && span.endSent > publication.answered && span.qos > 0
}

function missingOf(books: Books, client: string, epoch: number, receipts: Receipt[]): Publication[] {
  const spans = books.spans.filter((span) => span.client === client && span.epoch === epoch && span.group === undefined)
  const received = new Set(receipts.map(({ id }) => id))
  return [...books.publications.values()].filter((publication) => {
    const { qos, answered, id, topic, publisher, empty } = publication
    if (empty || qos === 0 || answered === never || received.has(id) || books.notOwed.has(id)) return false
    const owed = spans.filter((span) => matches(span.filter, topic))
    // Where one of several says No Local, either answer is right.
    if (publisher === client && owed.some(({ noLocal }) => noLocal)) return false
    return owed.some((span) => covers(span, publication))
  })
}

function judgeMissing(
  books: Books,
  missing: (Publication & { client: string })[],
  { dropped, limited }: Allowances,
): void {
  const expiring = missing.filter(({ expirySeconds }) => expirySeconds > 0)
  const lasting = missing.filter(({ expirySeconds }) => expirySeconds === 0)
  const room = limited ? (dropped.get('queue_full') ?? 0) + (dropped.get('delayed_refused') ?? 0) : 0
  const expired = dropped.get('expired') ?? 0
  if (lasting.length > room) {
    const [first] = lasting
    books.fault(
      `${lasting.length} messages were acknowledged and never came, ${room} dropped; first ${first!.id} for ${first!.client}`,
    )
  }
  if (expiring.length > expired + room) {
    const [first] = expiring
    books.fault(
      `${expiring.length} expiring messages never came, ${expired} counted as expired; first ${first!.id} for ${first!.client}`,
    )
  }
}

/** What went to a group reaches a member, as long as one was there that stays; and at QoS 2 no more than one. */
function judgeGroups(books: Books, epochs: ReadonlyMap<string, number>): void {
  const groups = Map.groupBy(
    books.spans.filter(({ group }) => group !== undefined),
    ({ filter }) => filter,
  )
  const receipts = Map.groupBy(books.receipts, ({ id }) => id)
  const written = Map.groupBy(books.written, ({ id }) => id)
  for (const [filter, spans] of groups) {
    const members = new Set(spans.map(({ client }) => client))
    const staying = spans.filter((span) => span.epoch === epochs.get(span.client) && span.endSent === never)
    for (const publication of books.publications.values()) {
      const { id, qos, answered, expirySeconds } = publication
      if (qos === 0 || !matches(withoutGroup(filter), publication.topic)) continue
      const got = (receipts.get(id) ?? []).filter(({ client }) => members.has(client))
      const sent = (written.get(id) ?? []).filter(({ client }) => members.has(client))
      // A session that ended with a crash may have had it before its publisher's identifier was stored, which sends it again.
      const ended = new Set(
        sent.filter((one) => one.fleeting && books.crashedSince(one.at)).map(({ client }) => client),
      )
      const atQos2 = got.filter(({ qos: at, client }) => at === 2 && !ended.has(client))
      const twice = new Set(atQos2.map(({ client }) => client)).size > 1
      if (twice) books.fault(`${id} reached two members of ${filter} at QoS 2`)
      if (answered === never || expirySeconds > 0) continue
      if (!staying.some((span) => covers(span, publication))) continue
      if (mayEndUnseen(books, spans, publication) || mayEndSent(books, spans, publication, epochs)) continue
      const done = got.length > 0 || sent.some((one) => one.qos !== 1 || (one.fleeting && books.crashedSince(one.at)))
      if (!done) books.fault(`${id} on ${publication.topic} was acknowledged and reached no member of ${filter}`)
    }
  }
}

/** It may have gone to a member that was there and is promised nothing: at QoS 0, or without a session that a crash leaves. */
function mayEndUnseen(books: Books, spans: readonly Span[], { firstSent, answered }: Publication): boolean {
  return spans.some(({ client, qos, fleeting, sent, ended }) => {
    if (sent > answered || ended < firstSent) return false
    if (qos > 0 && !(fleeting && books.crashedSince(firstSent))) return false
    return books.connections.some((one) => one.client === client && one.from < answered && one.to > firstSent)
  })
}

/**
 * At QoS 2 it may have been on its way to a member whose session ended since: then nobody else may have it [MQTT-4.8.2-5]. What is
 * stored as sent leaves after that, and a connection or a process may end in between, so that it was never written.
 */
function mayEndSent(
  books: Books,
  spans: readonly Span[],
  { qos, firstSent }: Publication,
  epochs: ReadonlyMap<string, number>,
): boolean {
  return (
    qos === 2 &&
    spans.some((span) => {
      // A member that came later may have been given it by one that left.
      if (span.qos < 2 || span.ended < firstSent) return false
      const { client, epoch } = span
      if (epoch === epochs.get(client)) return false
      return books.connections.some((one) => one.client === client && one.to > firstSent)
    })
  )
}
