/** The store: its size, its commits and what they wait for. */
import { counter, type HistogramMetric, type Metric, store } from './metric.ts'

export const storeMetrics: readonly Metric[] = [
  store('storage_commits_total', 'Transactions committed.', 'counter', (store) => store.commits),
  store('storage_records_written_total', 'Records written.', 'counter', (store) => store.recordsWritten),
  store('storage_database_bytes', 'Size of the database file.', 'gauge', (store) => store.databaseBytes),
  store('storage_wal_bytes', 'Size of its write-ahead log.', 'gauge', (store) => store.walBytes),
  store('storage_unused_bytes', 'What the database file can use of itself.', 'gauge', (store) => store.unusedBytes),
  store('storage_disk_free_bytes', 'Free space on the disk of the database.', 'gauge', (store) => store.diskFreeBytes),
  {
    name: 'store_damaged_total',
    help: 'Queued messages that could not be read from the store, and are lost.',
    type: 'counter',
    read: (counters) => counters.storeDamaged,
  },
  store('store_full', '1 while nothing new is taken in that would have to be stored.', 'gauge', (store) =>
    Number(store.full),
  ),
  counter(
    'mqtt_commit_pauses_total',
    'Times that reading stopped since too much waited for a commit.',
    (c) => c.commitPauses,
  ),
]

export const storeHistograms: readonly HistogramMetric[] = [
  {
    name: 'storage_commit_seconds',
    help: 'Seconds that the store took for a batch.',
    read: ({ store, commitSeconds }) => (store === undefined ? undefined : commitSeconds),
  },
  {
    name: 'storage_batch_records',
    help: 'Records of a batch.',
    read: ({ store, batchRecords }) => (store === undefined ? undefined : batchRecords),
  },
]
