/** Addresses as limits count them: "address:port" as a peer has it. */

/** Of this machine itself: loopback, and sockets in the file system, which have no address. */
export function isOwnMachine(remoteAddress: string): boolean {
  const address = addressOf(remoteAddress)
  return address === '' || address === '::1' || address.startsWith('127.')
}

/** The address without its port; of IPv6 the first 64 bits. */
export function networkOf(remoteAddress: string): string {
  const address = addressOf(remoteAddress)
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const before = head === '' ? [] : head.split(':')
  if (tail === undefined) return before.slice(0, 4).join(':')
  const after = tail === '' ? [] : tail.split(':')
  const zeros = new Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0')
  return [...before, ...zeros, ...after].slice(0, 4).join(':')
}

/** The address of "address:port", with IPv4 in IPv6's clothes undressed. */
export function addressOf(remoteAddress: string): string {
  const colon = remoteAddress.lastIndexOf(':')
  const address = colon === -1 ? remoteAddress : remoteAddress.slice(0, colon)
  return address.replace(/^\[(.*)\]$/, '$1').replace(/^::ffff:(?=\d+\.)/i, '')
}
