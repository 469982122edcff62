/** What differs between two texts, line by line: the longest common lines stay, the rest went or came. */
export interface DifferenceLine {
  kind: 'same' | 'gone' | 'new'
  text: string
}

/** Beyond that it would take too long; then all of one went and all of the other came. */
const linesMax = 300

export function differenceOf(before: string, after: string): DifferenceLine[] {
  const a = before.split('\n')
  const b = after.split('\n')
  if (a.length > linesMax || b.length > linesMax) {
    return [...a.map((text) => line('gone', text)), ...b.map((text) => line('new', text))]
  }
  const lengths = commonLengths(a, b)
  const found: DifferenceLine[] = []
  let i = 0
  let j = 0
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      found.push(line('same', a[i]!))
      i++
      j++
    } else if (lengths[i + 1]![j]! >= lengths[i]![j + 1]!) found.push(line('gone', a[i++]!))
    else found.push(line('new', b[j++]!))
  }
  while (i < a.length) found.push(line('gone', a[i++]!))
  while (j < b.length) found.push(line('new', b[j++]!))
  return found
}

function line(kind: DifferenceLine['kind'], text: string): DifferenceLine {
  return { kind, text }
}

/** How many lines the rest of both have in common, from each place on. */
function commonLengths(a: readonly string[], b: readonly string[]): number[][] {
  const lengths = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0))
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i]![j] = a[i] === b[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!)
    }
  }
  return lengths
}
