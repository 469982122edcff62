/**
 * What a client may say, as a JSON Schema, and the judge of it: the part of the language that the schema uses, so that what is
 * published and what is enforced are one.
 */
export interface Schema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean'
  description?: string
  const?: string
  enum?: readonly (string | number)[]
  minimum?: number
  maximum?: number
  maxLength?: number
  items?: Schema
  minItems?: number
  maxItems?: number
  properties?: Readonly<Record<string, Schema>>
  required?: readonly string[]
  additionalProperties?: false
  anyOf?: readonly Schema[]
  default?: string | number | boolean
}

/** What is wrong with a value, in words that begin with its place; undefined: nothing. */
export function faultOf(schema: Schema, value: unknown, place = ''): string | undefined {
  if (schema.anyOf !== undefined) {
    if (schema.anyOf.some((one) => faultOf(one, value, place) === undefined)) return undefined
    return `${place}: expected ${schema.anyOf.map(nameOf).join(' or ')}`
  }
  if (schema.type !== undefined && !isOfType(schema.type, value)) return `${place}: expected ${nameOf(schema)}`
  if (schema.const !== undefined && value !== schema.const) return `${place}: expected ${schema.const}`
  if (schema.enum !== undefined && !schema.enum.includes(value as string | number)) {
    return `${place}: expected one of ${schema.enum.join(', ')}`
  }
  if (typeof value === 'number') return faultOfNumber(schema, value, place)
  if (typeof value === 'string') {
    const { maxLength = Infinity } = schema
    return value.length > maxLength ? `${place}: at most ${maxLength} characters` : undefined
  }
  if (Array.isArray(value)) return faultOfItems(schema, value, place)
  return typeof value === 'object' && value !== null ? faultOfFields(schema, value, place) : undefined
}

function faultOfNumber({ minimum = -Infinity, maximum = Infinity }: Schema, value: number, place: string) {
  return value < minimum || value > maximum ? `${place}: expected ${minimum} to ${maximum}` : undefined
}

function faultOfItems({ items, minItems = 0, maxItems = Infinity }: Schema, value: readonly unknown[], place: string) {
  if (value.length < minItems || value.length > maxItems) return `${place}: expected ${minItems} to ${maxItems} of them`
  if (items === undefined) return undefined
  for (const [index, one] of value.entries()) {
    const fault = faultOf(items, one, `${place}[${index}]`)
    if (fault !== undefined) return fault
  }
  return undefined
}

function faultOfFields({ properties, required = [] }: Schema, value: object, place: string): string | undefined {
  if (properties === undefined) return undefined
  const missing = required.find((name) => !Object.hasOwn(value, name))
  if (missing !== undefined) return `${within(place, missing)} is missing`
  for (const [name, one] of Object.entries(value)) {
    const schema = Object.hasOwn(properties, name) ? properties[name]! : undefined
    if (schema === undefined) return `${within(place, name.slice(0, 60))} is not known here`
    const fault = faultOf(schema, one, within(place, name))
    if (fault !== undefined) return fault
  }
  return undefined
}

function within(place: string, name: string): string {
  return place === '' ? name : `${place}.${name}`
}

function isOfType(type: NonNullable<Schema['type']>, value: unknown): boolean {
  switch (type) {
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value)
    case 'array':
      return Array.isArray(value)
    case 'integer':
      return Number.isSafeInteger(value)
    default:
      return typeof value === type
  }
}

function nameOf({ type, maxLength }: Schema): string {
  return maxLength === undefined ? `${type}` : `${type} of at most ${maxLength} characters`
}
