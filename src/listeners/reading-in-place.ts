/**
 * All sockets read into one buffer, one after another: what arrives is decoded, and copied where it outlives that, before
 * the next read. Node otherwise makes 64 KB of memory for each read, and leaves tens of megabytes of garbage behind idle
 * connections (docs/decisions/011-reading-in-place.md).
 */
import { type Server, Socket, type SocketConstructorOpts } from 'node:net'

const readBuffer = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * What one socket may bring in one iteration of the event loop: libuv otherwise reads up to 32 times where each read fills
 * the buffer, and 2 MB of small packets are a long time for those who wait behind them.
 */
const fullReadsPerTurnMax = 2
/** Sockets that have brought it; they are read again in the next iteration. */
let resting: Socket[] = []

function readOn(): void {
  const rested = resting
  resting = []
  // Who was paused meanwhile begins to read again when it is resumed.
  for (const socket of rested) if (!socket.destroyed && !socket.isPaused()) socket.resume()
}

function rest(socket: Socket): void {
  if (resting.length === 0) setImmediate(readOn)
  resting.push(socket)
}

/** What a server knows of an accepted socket and Node's types do not tell. */
interface AcceptedSocket {
  _handle: { useUserBuffer?: unknown } | null
  _server: Server | null
  server: Server | null
  /** True for TLS, whose handle has no bytes of its own. */
  encrypted?: boolean
}

/**
 * The same connection as a socket with Node's `onread` option, which `net.Server` has no way to ask for: its handle moves to
 * a socket of ours. Should a version of Node not have the handle where it is looked for, the accepted socket serves, with
 * chunks of its own.
 */
export function readingInPlace(accepted: Socket, onData: (chunk: Buffer) => void): Socket {
  const inner = accepted as unknown as AcceptedSocket
  const handle = inner._handle
  if (typeof handle?.useUserBuffer !== 'function' || inner._server === null || inner.encrypted === true) {
    accepted.on('data', onData)
    // An HTTP server's sockets stay open when the peer has ended its side.
    accepted.on('end', () => accepted.end())
    accepted.resume()
    return accepted
  }
  inner._handle = null
  let fullReads = 0
  const onread = {
    buffer: readBuffer,
    callback: (bytes: number) => {
      onData(readBuffer.subarray(0, bytes))
      // A read that does not fill the buffer is the last of its iteration.
      fullReads = bytes < readBuffer.length ? 0 : fullReads + 1
      if (fullReads < fullReadsPerTurnMax) return true
      fullReads = 0
      rest(socket)
      return false
    },
  }
  const socket: Socket = new Socket({
    handle,
    onread,
    readable: true,
    writable: true,
  } as object as SocketConstructorOpts)
  // The server counts its connections down when this socket closes.
  const own = socket as unknown as AcceptedSocket
  own._server = inner._server
  own.server = inner.server
  inner._server = null
  return socket
}
