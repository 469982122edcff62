/** The read-only views for people, who look at the database with a shell: docs/durability.md describes them. */
import type { Database } from 'better-sqlite3'

const iso = (column: string) => `strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`

const waiting = (column: string) => `(
    SELECT coalesce(sum(r.${column} - coalesce(t.${column}, 0)), 0)
    FROM queue_run r LEFT JOIN queue_taken t ON t.run = r.id WHERE r.session = s.number)`
const entry = (index: number) => `json_extract(e.value, '$[${index}]')`

/** `queued_entry` is not for people: what a run's entry says, without those that were taken. */
const views = `
DROP VIEW IF EXISTS queued_entry;
CREATE VIEW queued_entry AS
SELECT r.session, r.id AS run, r.message_references, ${entry(0)} AS position, ${entry(1)} AS qos, ${entry(2)} AS retain,
  ${entry(3)} AS payload_bytes, ${entry(4)} AS message_id, nullif(${entry(5)}, 0) AS shared_filter,
  nullif(${entry(6)}, 0) AS subscription_identifiers, ${entry(7)} AS topic, ${entry(9)} AS published_at,
  nullif(${entry(10)}, 0) AS expires_at, ${entry(11)} AS publisher,
  substr(r.bodies, ${entry(13)} + ${entry(12)} + 1, ${entry(3)}) AS payload
FROM queue_run r CROSS JOIN json_each(r.entries) e LEFT JOIN queue_taken t ON t.run = r.id
WHERE t.run IS NULL OR substr(t.mask, e.key + 1, 1) = '0';

DROP VIEW IF EXISTS v_sessions;
CREATE VIEW v_sessions AS
SELECT s.client_id, s.namespace, s.number,
  CASE s.protocol_version WHEN 3 THEN '3.1' WHEN 4 THEN '3.1.1' ELSE '5.0' END AS protocol,
  s.username, s.connected, s.expiry_interval, ${iso('s.expires_at')} AS expires_at,
  (SELECT count(*) FROM subscription WHERE session = s.number) AS subscriptions,
  ${waiting('messages')} AS queued_messages, ${waiting('payload_bytes')} AS queued_bytes
FROM session s;

DROP VIEW IF EXISTS v_subscriptions;
CREATE VIEW v_subscriptions AS
SELECT s.client_id, s.namespace, u.topic_filter, u.qos, u.no_local, u.retain_as_published, u.retain_handling,
  nullif(u.identifier, 0) AS identifier
FROM subscription u JOIN session s ON s.number = u.session;

DROP VIEW IF EXISTS v_queued;
CREATE VIEW v_queued AS
SELECT s.client_id, s.namespace, q.position, q.position % 65535 + 1 AS packet_id, coalesce(m.topic, q.topic) AS topic, q.qos, q.retain,
  coalesce(m.publisher, q.publisher) AS publisher,
  ${iso('coalesce(m.published_at, q.published_at)')} AS published_at,
  ${iso('CASE q.message_id WHEN 0 THEN q.expires_at ELSE m.expires_at END')} AS expires_at,
  q.shared_filter, q.subscription_identifiers, q.payload_bytes,
  CAST(coalesce(m.payload, q.payload, x'') AS TEXT) AS payload_text, coalesce(m.payload, q.payload, x'') AS payload
FROM queued_entry q JOIN session s ON s.number = q.session LEFT JOIN message m ON m.id = q.message_id;

DROP VIEW IF EXISTS v_queues;
CREATE VIEW v_queues AS
SELECT s.name, s.namespace, s.priority, s.number, nullif(s.filter, '') AS filter,
  ${waiting('messages')} AS messages, ${waiting('payload_bytes')} AS payload_bytes
FROM log s WHERE s.name IS NOT NULL;

DROP VIEW IF EXISTS v_queue_messages;
CREATE VIEW v_queue_messages AS
SELECT l.name, l.namespace, l.priority, q.position, coalesce(m.topic, q.topic) AS topic,
  coalesce(m.publisher, q.publisher) AS publisher,
  ${iso('coalesce(m.published_at, q.published_at)')} AS published_at,
  coalesce(a.failed, 0) AS failed, coalesce(a.returned, 0) AS returned,
  ${iso('nullif(a.due_at, 0)')} AS due_at, nullif(a.reason, '') AS reason, q.shared_filter AS dead_letter,
  q.payload_bytes, CAST(coalesce(m.payload, q.payload, x'') AS TEXT) AS payload_text,
  coalesce(m.payload, q.payload, x'') AS payload
FROM queued_entry q JOIN log l ON l.number = q.session AND l.name IS NOT NULL
  LEFT JOIN message m ON m.id = q.message_id LEFT JOIN log_attempt a ON a.log = q.session AND a.position = q.position;

DROP VIEW IF EXISTS v_streams;
CREATE VIEW v_streams AS
SELECT s.name, s.namespace, s.number, s.filter, s.first_offset,
  (SELECT max(last_position) + 1 FROM queue_run WHERE session = s.number) AS next_offset
FROM stream s;

DROP VIEW IF EXISTS v_stream_messages;
CREATE VIEW v_stream_messages AS
SELECT s.name, s.namespace, q.position AS "offset", coalesce(m.topic, q.topic) AS topic,
  coalesce(m.publisher, q.publisher) AS publisher,
  ${iso('coalesce(m.published_at, q.published_at)')} AS published_at, q.payload_bytes,
  CAST(coalesce(m.payload, q.payload, x'') AS TEXT) AS payload_text, coalesce(m.payload, q.payload, x'') AS payload
FROM queued_entry q JOIN stream s ON s.number = q.session AND q.position >= s.first_offset
  LEFT JOIN message m ON m.id = q.message_id;

DROP VIEW IF EXISTS v_stream_cursors;
CREATE VIEW v_stream_cursors AS
SELECT s.name AS stream, s.namespace, nullif(c.name, '') AS consumer_group, e.client_id, nullif(c.filter, '') AS filter,
  c.position AS "offset"
FROM stream_cursor c JOIN stream s ON s.number = c.stream LEFT JOIN session e ON e.number = c.session;

DROP VIEW IF EXISTS v_delayed;
CREATE VIEW v_delayed AS
SELECT d.id, d.namespace, d.topic, d.qos, d.retain, d.publisher, nullif(d.schedule_id, '') AS schedule_id,
  iif(d.clock = 0, 'steady', 'system') AS clock, ${iso('d.due_at')} AS due_at, ${iso('d.published_at')} AS published_at,
  length(d.payload) AS payload_bytes, CAST(d.payload AS TEXT) AS payload_text, d.payload
FROM delayed d;

DROP VIEW IF EXISTS v_retained;
CREATE VIEW v_retained AS
SELECT r.topic, r.namespace, m.qos, m.publisher, ${iso('m.published_at')} AS published_at, ${iso('m.expires_at')} AS expires_at,
  length(m.payload) AS payload_bytes, CAST(m.payload AS TEXT) AS payload_text, m.payload
FROM retained r JOIN message m ON m.id = r.message_id;
`

/** A table that a view names can't be replaced. */
export function dropViews(database: Database): void {
  const names = database.prepare(`SELECT name FROM sqlite_schema WHERE type = 'view'`).pluck().all() as string[]
  for (const name of names) database.exec(`DROP VIEW "${name}"`)
}

/** Rewritten only if they differ, so that an unchanged database is opened without a write. */
export function refreshViews(database: Database): void {
  const wanted = [...views.matchAll(/CREATE VIEW (\w+) AS\n[^;]+/g)].map(([sql, name]) => ({ name, sql }))
  const present = database.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'view'`).all()
  if (wanted.every((view) => present.some((row) => (row as { sql: string }).sql === view.sql))) return
  database.transaction(() => database.exec(views))()
}
