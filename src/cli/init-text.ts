/** The files that `mqtide init` writes. */

export interface ConfigChoices {
  /** Certificate and key are there. */
  tls: boolean
}

export const usersText = `# One line for each user, made with: mqtide passwd users NAME
`

export function configText({ tls }: ConfigChoices): string {
  const off = tls ? '' : '# '
  return `# The configuration of MQTide. All options: docs/configuration.md
#   mqtide check-config mqtide.yaml           says what is wrong with it
#   mqtide check-config --print mqtide.yaml   shows every option with its default
#   mqtide start --config mqtide.yaml         starts with it; SIGHUP reads it again
# File names are relative to the folder of this file.

listeners:
  # This machine only. Passwords travel in clear here, so other machines get TLS.
  - { name: local, kind: tcp, host: 127.0.0.1, port: 1883 }
  # MQTT over WebSocket at /mqtt, the page at /, /metrics, /livez and /readyz: this machine only.
  - { name: web, kind: http, host: 127.0.0.1, port: 8083 }
  # Everybody, over TLS. ${tls ? 'The certificate signs itself: clients trust it as their authority (--cafile server.crt).' : 'Needs a certificate and its key (mqtide init --tls makes one).'}
  ${off}- { name: tls, kind: tls, host: 0.0.0.0, port: 8883, cert: server.crt, key: server.key }
  # MQTT over WebSocket for browsers; kind https would show the page to everybody too, and /metrics unless it says metrics: token.
  ${off}- { name: wss, kind: wss, host: 0.0.0.0, port: 8084, cert: server.crt, key: server.key }

# Names by which browsers may ask for port 8083 and 8084, besides localhost and addresses, and pages of elsewhere that may connect.
# allowedHosts: [gate.example]
# allowedOrigins: ['https://panel.example']

# Who may connect. A user: mqtide passwd users NAME. Tokens, certificates and others: docs/security.md
authentication:
  passwordFile: users

# Clients that bring no user name at all; rules hold for them too.
# allowAnonymous: true

# Who may what. The first rule that fits decides, and what none is about is denied.
#   mqtide explain --config mqtide.yaml --user alice --publish users/alice/x
authorization:
  # groups: { operators: [alice] }
  rules:
    # Everybody below their own name.
    - { allow: all, topic: 'users/%u/#' }
    # Everybody may read this, and nobody writes it yet.
    - { allow: subscribe, topic: 'public/#' }
    # - { allow: all, topic: '#', group: operators }
    # - { allow: subscribe, topic: '$SYS/#', group: operators }
  # Or a file as Mosquitto has it, in place of rules:
  # aclFile: acl

# The database, relative to where the gateway is started.
# dataDir: ./data

# What an acknowledged message survives: fsync (a power cut), process (a crash of the gateway) or none.
# durability: fsync

# logLevel: info
`
}
