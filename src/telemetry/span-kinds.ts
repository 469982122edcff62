/** Apart from what makes them, which needs OpenTelemetry's types. */
export const spanKinds = ['connect', 'publish', 'deliver', 'commit'] as const
export type SpanKindName = (typeof spanKinds)[number]
