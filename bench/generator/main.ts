/** The generator process: `node bench/generator/main.ts JOB`, with the job as JSON; answers with one JSON line on stdout. */
import type { Answer, Job } from './job.ts'
import { runIdle, runStorm } from './jobs/connections.ts'
import { runLatency } from './jobs/latency.ts'
import { runFindSessions, runMakeSessions } from './jobs/sessions.ts'
import { runStalled } from './jobs/stalled.ts'
import { runCollect, runDrain, runFill, runRetain } from './jobs/stored.ts'
import { runThroughput } from './jobs/throughput.ts'
import { runWorkQueue } from './jobs/work-queue.ts'

function run(job: Job): Promise<Answer> {
  switch (job.kind) {
    case 'throughput':
      return runThroughput(job)
    case 'latency':
      return runLatency(job)
    case 'stalled':
      return runStalled(job)
    case 'retain':
      return runRetain(job)
    case 'collect':
      return runCollect(job)
    case 'make-sessions':
      return runMakeSessions(job)
    case 'find-sessions':
      return runFindSessions(job)
    case 'fill':
      return runFill(job)
    case 'drain':
      return runDrain(job)
    case 'work-queue':
      return runWorkQueue(job)
    case 'storm':
      return runStorm(job)
    case 'idle':
      return runIdle(job)
  }
}

let answer: Answer
try {
  answer = await run(JSON.parse(process.argv[2] ?? '{}') as Job)
} catch (error) {
  answer = { figures: {}, faults: [error instanceof Error ? error.message : String(error)] }
}
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0))
