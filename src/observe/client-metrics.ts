/** Who came and went: connections, logins, sessions and their ends. */
import { counter, gauge, labelled, type Metric } from './metric.ts'

export const clientMetrics: readonly Metric[] = [
  labelled('mqtt_connects_total', 'CONNECT packets answered, by result.', 'result', (c) => c.connects),
  labelled('mqtt_auth_total', 'Logins under configured authentication, by result.', 'result', (c) => c.logins),
  labelled(
    'mqtt_renewals_total',
    'Re-authentications by AUTH, by result; why the chain refused one is in mqtt_auth_total too.',
    'result',
    (c) => c.renewals,
  ),
  labelled('mqtt_disconnects_total', 'Connections that ended, by reason.', 'reason', (c) => c.disconnects),
  labelled(
    'mqtt_protocol_errors_total',
    'Faults of clients that ended their connection.',
    'reason',
    (c) => c.protocolErrors,
  ),
  counter('mqtt_connections_accepted_total', 'Network connections accepted.', (c) => c.connectionsAccepted),
  counter('mqtt_connections_refused_total', 'Network connections closed at once.', (c) => c.connectionsRefused),
  labelled(
    'mqtt_auth_steps_total',
    'Answers of the single steps of authentication: yes, not-mine, error, or why not.',
    ['step', 'answer'],
    (c) => c.authenticationSteps,
  ),
  gauge(
    'mqtt_banned_clients',
    'Clients refused since they were there when faults of the gateway itself ended the process.',
    (g) => g.bannedClients,
  ),
  counter('mqtt_sessions_created_total', 'Sessions created.', (c) => c.sessionsCreated),
  counter('mqtt_sessions_resumed_total', 'Sessions that a client came back to.', (c) => c.sessionsResumed),
  counter('mqtt_sessions_taken_over_total', 'Sessions taken over by another connection.', (c) => c.sessionsTakenOver),
  counter('mqtt_sessions_expired_total', 'Sessions that expired.', (c) => c.sessionsExpired),
  counter(
    'mqtt_sessions_adopted_total',
    'Sessions of nobody in particular that went to the first principal that came.',
    (c) => c.sessionsAdopted,
  ),
  counter(
    'mqtt_session_owner_refusals_total',
    "CONNECT packets refused since the client id is that of another principal's session.",
    (c) => c.sessionOwnerRefusals,
  ),
  counter(
    'mqtt_namespace_refusals_total',
    'CONNECT packets refused since the client belongs to a namespace that is not there, or not behind its listener.',
    (c) => c.namespaceRefusals,
  ),
  counter(
    'mqtt_subscriptions_revoked_total',
    'Subscriptions that ended since their client may not have them any more.',
    (c) => c.subscriptionsRevoked,
  ),
  counter(
    'mqtt_authority_errors_total',
    'Errors of authenticators and access rules, and answers of theirs that are none: each was taken for a no.',
    (c) => c.authorityErrors,
  ),
  counter(
    'mqtt_authority_timeouts_total',
    'Authenticators that did not answer in time: each was taken for a no.',
    (c) => c.authorityTimeouts,
  ),
  counter(
    'mqtt_closed_unacknowledged_total',
    'Connections closed for want of room without the acknowledgements of earlier messages, whose commit took five seconds.',
    (c) => c.closedUnacknowledged,
  ),
]
