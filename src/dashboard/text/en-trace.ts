/** The words of the page of traces. */
export const trace = {
  packets: 'Packets',
  whose: 'Whose packets',
  kinds: { clientId: 'Of a client', address: 'Of an address', filter: 'Of a topic' },
  values: { clientId: 'Client id', address: 'Address, without port', filter: 'Topic filter' },
  begin: 'Begin',
  stop: 'Stop',
  again: 'Begin again',
  nothingAsked: 'Packets are shown as they pass, decoded and without passwords, for ten minutes at most.',
  nothing: 'Nothing has passed yet.',
  states: { connecting: 'Beginning', connected: 'Tracing', ended: 'Ended', refused: 'Refused' },
  events: { received: '→ from it', sent: '← to it', fault: 'fault', closed: 'closed' } as Record<string, string>,
  leftOut: (number: string) => `${number} left out`,
  totals: (total: string, shown: string) => `${total} so far; the last ${shown} are shown`,
  link: 'Trace its packets',
}
