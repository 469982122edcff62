/** Die Wörter der Seite für Mitschnitte. */
import type { trace as words } from './en-trace.ts'

export const trace: typeof words = {
  packets: 'Pakete',
  whose: 'Wessen Pakete',
  kinds: { clientId: 'Eines Clients', address: 'Einer Adresse', filter: 'Eines Topics' },
  values: { clientId: 'Client-Id', address: 'Adresse, ohne Port', filter: 'Topic-Filter' },
  begin: 'Beginnen',
  stop: 'Anhalten',
  again: 'Neu beginnen',
  nothingAsked:
    'Pakete werden gezeigt, wie sie vorbeikommen: entschlüsselt, ohne Passwörter, höchstens zehn Minuten lang.',
  nothing: 'Bisher kam nichts vorbei.',
  states: { connecting: 'Beginnt', connected: 'Läuft', ended: 'Zu Ende', refused: 'Abgelehnt' },
  events: { received: '→ von ihm', sent: '← an ihn', fault: 'Fehler', closed: 'geschlossen' },
  leftOut: (number) => `${number} ausgelassen`,
  totals: (total, shown) => `bisher ${total}; die letzten ${shown} werden gezeigt`,
  link: 'Seine Pakete verfolgen',
}
