/** Which of this program's subscriptions a message is for: the rules of MQTT's filters, on valid topics. */

/** What a filter matches by: of `$share/GROUP/FILTER` the last part. What a queue or a stream gives has any topic. */
export function matchedBy(filter: string): string {
  if (filter.startsWith('$queue/') || filter.startsWith('$stream/')) return '#'
  return filter.startsWith('$share/') ? filter.slice(filter.indexOf('/', 7) + 1) : filter
}

export function hasWildcard(filter: string): boolean {
  return /[+#]/.test(filter)
}

export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  // A wildcard at the first level is not for topics such as $SYS [MQTT-4.7.2-1].
  if (topic.startsWith('$') && hasWildcard(wanted[0]!)) return false
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false
  }
  return wanted.length === levels.length
}
