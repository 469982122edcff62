/** At the door: the sessions of bridges are nobody else's, and a bridge whose address leads back to its gateway is told so. */
import type { Authority } from '../core/ports/authority.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { gatewayProperty } from '../mqtt/user-property.ts'
import type { Bridges } from './bridges.ts'

/** Client ids of bridges' sessions here begin so. */
export const bridgePrefix = '$bridge/'

/** Around the gateway's authority, which is made before there are bridges. */
export class BridgeGuard {
  bridges: Bridges | undefined
  gatewayId = ''

  around(authority: Authority): Authority {
    return {
      authenticate: (packet, peer, done) => {
        const { clientId } = packet
        if (clientId.startsWith(bridgePrefix)) {
          done({ reasonCode: ReasonCode.clientIdentifierNotValid, reasonString: 'a bridge of this gateway has it' })
          return
        }
        const own = this.#saysOurs(packet) ? this.bridges?.ofClient(clientId) : undefined
        if (own === undefined) {
          authority.authenticate(packet, peer, done)
          return
        }
        done({ reasonCode: ReasonCode.useAnotherServer, reasonString: 'this is where the bridge comes from' })
        own.cameHere()
      },
      beginExchange: (method, claimant) => authority.beginExchange(method, claimant),
    }
  }

  #saysOurs({ version, properties, bridge, clientId }: Parameters<Authority['authenticate']>[0]): boolean {
    if (version !== 5) return bridge === true || clientId.startsWith(`mqtide-${this.gatewayId}-`)
    const { userProperties = [] } = properties
    return userProperties.some(([name, value]) => name === gatewayProperty && value === this.gatewayId)
  }
}
