/**
 * A vehicle on a track of waypoints: it keeps a speed around its mean, turns at the waypoints, and its receiver adds
 * noise. Between waypoints the earth is taken as flat (equirectangular), right to a millionth over a city's distances.
 */
import type { Random } from '../random.ts'
import type { GeneratorOf } from '../scenario/generator-schema.ts'
import type { GeneratorContext } from './generators.ts'
import { type Generate, roundTo } from './value.ts'

const metersPerDegree = 111_195

interface Segment {
  fromMeters: number
  lengthMeters: number
  latitude: number
  longitude: number
  /** Degrees per meter along the segment. */
  latitudeRate: number
  longitudeRate: number
  heading: number
}

type Waypoint = readonly [latitude: number, longitude: number]

function segments(waypoints: readonly Waypoint[]): Segment[] {
  const found: Segment[] = []
  let fromMeters = 0
  for (let i = 1; i < waypoints.length; i++) {
    const [latitude, longitude] = waypoints[i - 1]!
    const [toLatitude, toLongitude] = waypoints[i]!
    const shrink = Math.cos(((latitude + toLatitude) / 2) * (Math.PI / 180))
    const north = (toLatitude - latitude) * metersPerDegree
    const east = (toLongitude - longitude) * metersPerDegree * shrink
    const lengthMeters = Math.hypot(north, east)
    if (lengthMeters === 0) continue
    const heading = (Math.atan2(east, north) * (180 / Math.PI) + 360) % 360
    found.push({
      fromMeters,
      lengthMeters,
      latitude,
      longitude,
      latitudeRate: (toLatitude - latitude) / lengthMeters,
      longitudeRate: (toLongitude - longitude) / lengthMeters,
      heading,
    })
    fromMeters += lengthMeters
  }
  return found
}

/** The first line of a GeoJSON document: a LineString, or one within a Feature or FeatureCollection. */
export function waypointsOfGeoJson(document: unknown): Waypoint[] {
  if (document === null || typeof document !== 'object') return []
  const node = document as { type?: unknown; coordinates?: unknown; geometry?: unknown; features?: unknown }
  if (node.type === 'LineString' && Array.isArray(node.coordinates)) {
    // GeoJSON writes longitude first.
    return node.coordinates.map((pair: unknown) => {
      const [longitude, latitude] = pair as [number, number]
      return [latitude, longitude]
    })
  }
  if (node.type === 'Feature') return waypointsOfGeoJson(node.geometry)
  if (node.type === 'FeatureCollection' && Array.isArray(node.features)) {
    for (const feature of node.features) {
      const found = waypointsOfGeoJson(feature)
      if (found.length > 0) return found
    }
  }
  return []
}

export function geoTrack(spec: GeneratorOf<'geo-track'>, random: Random, context: GeneratorContext): Generate {
  const listed = spec.waypoints ?? (spec.file === undefined ? [] : waypointsOfGeoJson(context.document(spec.file)))
  const first = listed[0]
  // A round trip ends where it began.
  const track = segments(spec.loop && first !== undefined ? [...listed, first] : listed)
  const total = track.reduce((sum, segment) => sum + segment.lengthMeters, 0)
  let position = spec.spread ? random.next() * total : 0
  let previousMs = 0
  return ({ elapsedMs }) => {
    const factor = 1 + spec.speedVariation * random.uniform(-1, 1)
    const metersPerSecond = (spec.speedKmh / 3.6) * factor
    position += (metersPerSecond * (elapsedMs - previousMs)) / 1000
    previousMs = elapsedMs
    position = spec.loop && total > 0 ? position % total : Math.min(position, total)
    const segment = track.findLast(({ fromMeters }) => fromMeters <= position) ?? track[0]
    if (segment === undefined) return null
    const along = position - segment.fromMeters
    const noiseNorth = spec.noiseMeters * random.normal()
    const noiseEast = spec.noiseMeters * random.normal()
    const latitude = segment.latitude + segment.latitudeRate * along + noiseNorth / metersPerDegree
    const shrink = Math.cos(latitude * (Math.PI / 180))
    const longitude = segment.longitude + segment.longitudeRate * along + noiseEast / (metersPerDegree * shrink)
    return {
      latitude: roundTo(latitude, 6),
      longitude: roundTo(longitude, 6),
      speed: roundTo(metersPerSecond * 3.6, 1),
      heading: roundTo(segment.heading, 1),
    }
  }
}
