/**
 * TLS handshakes under way. Node tells of the socket that was accepted and of the secure one that it becomes, but not that
 * they belong together: both ends' addresses and ports do.
 */
import type { Socket } from 'node:net'

export class Handshakes {
  readonly #ends = new Map<string, () => void>()

  get size(): number {
    return this.#ends.size
  }

  /** @param onEnd called once, when the socket has become secure or is closed. Returns false for a peer that has gone already */
  begin(socket: Socket, onEnd: () => void): boolean {
    const key = endsOf(socket)
    if (key === undefined) return false
    const end = () => {
      if (this.#ends.get(key) === end) this.#ends.delete(key)
      onEnd()
    }
    // A peer may come from the same port again before it is told that the former socket is closed.
    this.#ends.get(key)?.()
    this.#ends.set(key, end)
    socket.once('close', end)
    return true
  }

  /** The socket is secure. */
  end(socket: Socket): void {
    const key = endsOf(socket)
    if (key !== undefined) this.#ends.get(key)?.()
  }
}

/** Undefined: the peer has gone, and with it the addresses. All such sockets would have one key. */
export function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string | undefined {
  return remoteAddress === undefined ? undefined : `${remoteAddress}:${remotePort} ${localAddress}:${localPort}`
}
