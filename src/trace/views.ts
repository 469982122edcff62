/** What is asked of traces, and what others may see of them. */

/** At least one of the first three says whose packets; all that are there have to fit. */
export interface TraceAsked {
  clientId?: string | undefined
  /** Without port. */
  address?: string | undefined
  /** Topic filter: only PUBLISH packets whose topic matches. */
  filter?: string | undefined
  /** Absent: of all. */
  namespace?: string | undefined
  /** Of a payload's beginning; 0: none of it. */
  payloadBytes: number
}

export interface TraceLine {
  at: string
  event: 'received' | 'sent' | 'fault' | 'closed'
  namespace: string
  clientId: string
  address: string
  /** The packet's name; absent for other events. */
  packet?: string | undefined
  /** Packets that were left out since the line before. */
  leftOut: number
}

export interface TraceLimits {
  seconds: number
  bytesMax: number
}

export interface FileTraceView {
  name: string
  file: string
  asked: TraceAsked
  /** Why it is over; empty: it goes on. */
  ended: string
  /** Milliseconds since the epoch, by `now`. */
  endsAt: number
  lines: number
  leftOut: number
  bytes: number
}

export interface FileTraces {
  list(): FileTraceView[]
  begin(
    name: string,
    asked: TraceAsked,
    limits: TraceLimits,
  ): Promise<FileTraceView | 'exists' | 'too-many' | 'disk-full'>
  /** False: there is none of this name, or it is over already. */
  end(name: string): Promise<boolean>
}
