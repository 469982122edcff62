/** Whether two topic filters have a topic in common. Filters that begin with `$` have none with those of wildcards in front. */
export function filtersOverlap(one: string, other: string): boolean {
  const isSpecial = (filter: string): boolean => filter.startsWith('$')
  const isOpen = (filter: string): boolean => filter.startsWith('#') || filter.startsWith('+')
  if ((isSpecial(one) && isOpen(other)) || (isSpecial(other) && isOpen(one))) return false
  const a = one.split('/')
  const b = other.split('/')
  for (let at = 0; ; at++) {
    if (a[at] === '#' || b[at] === '#') return true
    if (at === a.length || at === b.length) return a.length === b.length
    if (a[at] !== '+' && b[at] !== '+' && a[at] !== b[at]) return false
  }
}
