/** Configuration files of the peers: templates beside this file, written out for each start. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fillTemplate, type Place } from './broker.ts'

/** The template as it stands in the repository. */
export function template(file: string): string {
  return readFileSync(new URL(file, import.meta.url), 'utf8')
}

export function filled(file: string, place: Place): string {
  const { folder, ports, certificate, access } = place
  const values = {
    folder,
    mqttPort: ports.mqtt,
    httpPort: ports.http,
    tlsPort: ports.tls,
    sparePort: ports.spare,
    queuePort: ports.queue,
  }
  return fillTemplate(template(file), { ...values, ...certificate, ...access })
}

/** The template with users and rules in it where the scenario needs them, in place of letting everybody in. */
export function filledWithAccess(file: string, accessFile: string, place: Place): string {
  const text = filled(file, place)
  if (place.access === undefined) return text
  return text.replace(/^allow_anonymous true\n/m, '') + filled(accessFile, place)
}

/** Writes `text` into the place's folder and returns the file's path. */
export function written(place: Place, name: string, text: string): string {
  const path = join(place.folder, name)
  writeFileSync(path, text)
  return path
}
