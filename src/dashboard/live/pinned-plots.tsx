/** Plots of what was pinned, side by side, with one pointer for all of them. */
import { useMemo } from 'preact/hooks'
import { compact } from '../format.ts'
import { Plot } from '../plot.tsx'
import { shortName } from '../shown.ts'
import { text } from '../text/text.ts'
import { type Pin, type Points, pinKey } from './pins.ts'

interface PinnedPlotsProps {
  pins: readonly Pin[]
  points: Points
  drawn: number
  onUnpin(pin: Pin): void
}

export function PinnedPlots({ pins, points, drawn, onUnpin }: PinnedPlotsProps) {
  if (pins.length === 0) return null
  return (
    <section class="plots pinned" aria-label={text.topics.pinned}>
      {pins.map((pin, index) => (
        <PinnedPlot
          key={pinKey(pin)}
          pin={pin}
          color={(index % 4) + 1}
          points={points}
          drawn={drawn}
          onUnpin={onUnpin}
        />
      ))}
    </section>
  )
}

type PinnedPlotProps = Omit<PinnedPlotsProps, 'pins'> & { pin: Pin; color: number }

function PinnedPlot({ pin, color, points, drawn, onUnpin }: PinnedPlotProps) {
  const name = nameOf(pin)
  const series = points.get(pinKey(pin))
  const { times, lines } = useMemo(
    () => ({
      times: [...(series?.times ?? [])],
      lines: [
        {
          label: pin.path === '' ? text.topics.value : shortName(pin.path, 60),
          color,
          values: [...(series?.values ?? [])],
        },
      ],
    }),
    [series, drawn, color, pin.path],
  )
  return (
    <div class="pinned-plot">
      <Plot title={name} times={times} lines={lines} format={compact} height={110} fromZero={false} />
      <button type="button" class="unpin" aria-label={text.topics.unpin(name)} onClick={() => onUnpin(pin)}>
        ×
      </button>
    </div>
  )
}

function nameOf({ topic }: Pin): string {
  return shortName(topic, 120)
}
