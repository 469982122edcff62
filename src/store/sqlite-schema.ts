/**
 * The database's tables and their versions.
 *
 * `user_version` is the number of migrations applied, `application_id` says that the file is ours. A migration, once
 * released, is never edited: a change is a further entry. Views (`sqlite-views.ts`) carry no data, so they are made anew at each
 * open and may change freely.
 *
 * A message body that only one queue names lies in that queue's run (`records/queue-run.ts`). All others are one row of `message`
 * each, with the number of queue entries and retained topics that name it in `reference_count`. Times are milliseconds since
 * the epoch, NULL for never.
 */
import type { Database } from 'better-sqlite3'
import { dropViews, refreshViews } from './sqlite-views.ts'
import { StoreError } from './store.ts'

/** `MQTD` */
export const applicationId = 0x4d515444

const version1 = `
CREATE TABLE counter (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  next_session_number INTEGER NOT NULL,
  next_message_id INTEGER NOT NULL
) STRICT;
INSERT INTO counter VALUES (1, 1, 1);

CREATE TABLE session (
  number INTEGER PRIMARY KEY,
  client_id TEXT NOT NULL,
  protocol_version INTEGER NOT NULL,
  expiry_interval INTEGER NOT NULL,
  expires_at INTEGER,
  connected INTEGER NOT NULL,
  username TEXT NOT NULL
) STRICT;

CREATE TABLE subscription (
  session INTEGER NOT NULL,
  topic_filter TEXT NOT NULL,
  qos INTEGER NOT NULL,
  no_local INTEGER NOT NULL,
  retain_as_published INTEGER NOT NULL,
  retain_handling INTEGER NOT NULL,
  identifier INTEGER NOT NULL,
  PRIMARY KEY (session, topic_filter)
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
  id INTEGER PRIMARY KEY,
  reference_count INTEGER NOT NULL,
  topic TEXT NOT NULL,
  qos INTEGER NOT NULL,
  published_at INTEGER NOT NULL,
  expires_at INTEGER,
  publisher TEXT NOT NULL,
  properties BLOB,
  payload BLOB NOT NULL
) STRICT;

CREATE TABLE queue (
  session INTEGER NOT NULL,
  position INTEGER NOT NULL,
  message_id INTEGER NOT NULL,
  qos INTEGER NOT NULL,
  retain INTEGER NOT NULL,
  payload_bytes INTEGER NOT NULL,
  shared_filter TEXT,
  subscription_identifiers TEXT,
  PRIMARY KEY (session, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE released (
  session INTEGER NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (session, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE incoming (
  session INTEGER NOT NULL,
  packet_id INTEGER NOT NULL,
  PRIMARY KEY (session, packet_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE retained (
  topic TEXT PRIMARY KEY,
  message_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE will (
  session INTEGER PRIMARY KEY,
  topic TEXT NOT NULL,
  payload BLOB NOT NULL,
  properties BLOB,
  qos INTEGER NOT NULL,
  retain INTEGER NOT NULL,
  delay_interval INTEGER NOT NULL,
  message_expiry_interval INTEGER NOT NULL,
  due_at INTEGER
) STRICT;

-- Sessions that ended and left more queue rows than one transaction should delete.
CREATE TABLE ended_session (number INTEGER PRIMARY KEY) STRICT;
`

/** Queues in runs, see `records/queue-run.ts`: a row for each message becomes a run of one. */
const version2 = `
CREATE TABLE queue_run (
  id INTEGER PRIMARY KEY,
  session INTEGER NOT NULL,
  first_position INTEGER NOT NULL,
  last_position INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  payload_bytes INTEGER NOT NULL,
  message_references INTEGER NOT NULL,
  entries TEXT NOT NULL,
  bodies BLOB
) STRICT;
INSERT INTO queue_run (session, first_position, last_position, messages, payload_bytes, message_references, entries)
SELECT session, position, position, 1, payload_bytes, 1,
  json_array(json_array(position, qos, retain, payload_bytes, message_id,
    coalesce(shared_filter, 0), coalesce(subscription_identifiers, 0)))
FROM queue;
DROP TABLE queue;
CREATE UNIQUE INDEX queue_run_position ON queue_run (session, first_position);

-- For each run from which something was taken: how much, and a character per entry, 1 for taken.
CREATE TABLE queue_taken (
  run INTEGER PRIMARY KEY,
  messages INTEGER NOT NULL,
  payload_bytes INTEGER NOT NULL,
  mask TEXT NOT NULL
) STRICT;
`

/**
 * Names: what belongs to a tenant has its namespace, '' for the default one; a session has the principal that made it, ''
 * for none. A log is what a queue is to the store, besides its runs; a session's log has the session's number. Checksums of
 * runs, NULL in those that were there.
 */
const version3 = `
ALTER TABLE session ADD COLUMN namespace TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN principal TEXT NOT NULL DEFAULT '';

CREATE TABLE clock (
  id INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  wall_offset INTEGER NOT NULL
) STRICT;

CREATE TABLE log (
  number INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL DEFAULT '',
  sent INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE retained_3 (
  namespace TEXT NOT NULL,
  topic TEXT NOT NULL,
  message_id INTEGER NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (namespace, topic)
) STRICT, WITHOUT ROWID;
INSERT INTO retained_3
SELECT '', topic, message_id, coalesce((SELECT published_at FROM message WHERE id = message_id), 0) * 1024 FROM retained;
DROP TABLE retained;
ALTER TABLE retained_3 RENAME TO retained;

-- Runs that could not be read and are passed over, see records/damaged-runs.ts.
CREATE TABLE set_aside (
  run INTEGER PRIMARY KEY,
  session INTEGER NOT NULL,
  finding TEXT NOT NULL
) STRICT;

ALTER TABLE queue_run ADD COLUMN entries_checksum INTEGER;
ALTER TABLE queue_run ADD COLUMN bodies_checksum INTEGER;
`

/** Queues that clients work on together: a log with a name. */
const version4 = `
ALTER TABLE log ADD COLUMN name TEXT;
ALTER TABLE log ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log ADD COLUMN filter TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX log_name ON log (namespace, name, priority) WHERE name IS NOT NULL;

-- What became of a message so far that failed or was given back; times 0 for at once.
CREATE TABLE log_attempt (
  log INTEGER NOT NULL,
  position INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  returned INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (log, position)
) STRICT, WITHOUT ROWID;
`

/**
 * Messages that wait until they are due: `clock` 0 is the gateway's, which never jumps, 1 that of the system. The payload comes last, so that
 * counting reads none.
 */
const version5 = `
CREATE TABLE delayed (
  id INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL,
  clock INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  schedule_id TEXT,
  publisher TEXT NOT NULL,
  principal TEXT NOT NULL,
  topic TEXT NOT NULL,
  qos INTEGER NOT NULL,
  retain INTEGER NOT NULL,
  expiry_seconds INTEGER,
  published_at INTEGER NOT NULL,
  properties BLOB,
  payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX delayed_due ON delayed (clock, due_at, id);
`

/**
 * Streams, and their messages in segments, by which a time is found; a segment is here once it is complete. How far a session or a
 * group (session 0) has read: `open` is what a group handed out behind that.
 */
const version6 = `
CREATE TABLE stream (
  number INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  filter TEXT NOT NULL,
  first_offset INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX stream_name ON stream (namespace, name);

CREATE TABLE stream_segment (
  stream INTEGER NOT NULL,
  first_offset INTEGER NOT NULL,
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (stream, first_offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE stream_cursor (
  session INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  name TEXT NOT NULL,
  filter TEXT NOT NULL,
  position INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  open TEXT NOT NULL,
  PRIMARY KEY (session, stream, name, filter)
) STRICT, WITHOUT ROWID;
`

/** What queues have seen, so that it does not come in twice: ids of messages, and how far publishers have counted. `log` is the queue's address. */
const version7 = `
CREATE TABLE seen (
  namespace TEXT NOT NULL,
  log TEXT NOT NULL,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (namespace, log, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_at ON seen (namespace, log, at);

CREATE TABLE counted (
  namespace TEXT NOT NULL,
  log TEXT NOT NULL,
  publisher TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (namespace, log, publisher)
) STRICT, WITHOUT ROWID;
`

export const migrations: readonly string[] = [version1, version2, version3, version4, version5, version6, version7]

/**
 * Brings the schema to the newest version, one transaction per step, and makes the views. Throws a `StoreError` of kind
 * `version` for a file that is not ours or newer than this program.
 */
export function migrate(database: Database, path: string, steps: readonly string[] = migrations): void {
  const version = database.pragma('user_version', { simple: true }) as number
  const application = database.pragma('application_id', { simple: true }) as number
  const tables = database.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() as number
  if (application !== applicationId && (application !== 0 || version !== 0 || tables > 0)) {
    throw new StoreError(
      'version',
      `${path} is a SQLite database of another program (application_id ${application}, ${tables} tables). ` +
        'Choose another --data-dir.',
    )
  }
  if (version > steps.length) {
    throw new StoreError(
      'version',
      `${path} has schema version ${version}, and this mqtide knows versions up to ${steps.length}: it was written by a ` +
        'newer mqtide. Start that one, or restore a backup made with this one.',
    )
  }
  for (let next = version; next < steps.length; next++) {
    database.transaction(() => {
      dropViews(database)
      database.exec(steps[next]!)
      database.pragma(`application_id = ${applicationId}`)
      database.pragma(`user_version = ${next + 1}`)
    })()
  }
  refreshViews(database)
}
