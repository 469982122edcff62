/** Connecting with MQTT.js, and its errors in words. */
import { connect, type IDisconnectPacket, type MqttClient } from 'mqtt'
import { reasonName } from '../mqtt/reason-code.ts'
import type { ClientTarget } from './client-options.ts'
import { CliError } from './context.ts'

const returnCodes = [
  'accepted',
  'unacceptable protocol version',
  'client id rejected',
  'server unavailable',
  'bad user name or password',
  'not authorized',
]

/**
 * A client whose CONNECT was accepted.
 *
 * @param prepare gets the client before anything can arrive; a kept session's messages may come together with CONNACK
 * @throws CliError that says why there is none
 */
export function connected(
  { url, options }: ClientTarget,
  prepare: (client: MqttClient) => void = () => {},
): Promise<MqttClient> {
  const client = connect(url, options)
  prepare(client)
  return new Promise((resolve, reject) => {
    const onConnect = () => {
      release()
      resolve(client)
    }
    const fail = (text: string) => {
      release()
      client.on('error', () => {})
      client.end(true)
      reject(new CliError(`${text} (${withoutPassword(url)})`))
    }
    const onError = (error: Error) => fail(connectFailure(error, options.protocolVersion))
    const onClose = () => fail('the connection was closed before CONNACK')
    const release = () => {
      client.off('connect', onConnect).off('error', onError).off('close', onClose)
    }
    client.on('connect', onConnect).on('error', onError).on('close', onClose)
  })
}

function withoutPassword(url: string): string {
  const shown = new URL(url)
  if (shown.password !== '') shown.password = '***'
  return shown.href
}

function connectFailure(error: Error, version: number | undefined): string {
  const { code, errors } = error as { code?: string | number; errors?: { code?: string }[] }
  if (typeof code === 'number') {
    const name = version === 5 ? reasonName(code).replaceAll('_', ' ') : returnCodes[code]
    return `connection refused: ${name ?? 'unknown return code'} (0x${code.toString(16).padStart(2, '0')})`
  }
  switch (code ?? errors?.[0]?.code) {
    case 'ECONNREFUSED':
      return 'nothing listens there: connection refused'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'no such host'
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ETIMEDOUT':
      return 'not reachable'
    case 'ECONNRESET':
      return 'the connection was reset before CONNACK'
    default:
      return error.message || String(code)
  }
}

/** Why a connection that worked is gone. */
export function disconnectReason(packet: IDisconnectPacket | undefined): string {
  if (!packet) return 'the connection was lost'
  const code = packet.reasonCode ?? 0
  const text = packet.properties?.reasonString
  return `disconnected by the gateway: ${reasonName(code).replaceAll('_', ' ')}${text ? ` (${text})` : ''}`
}
