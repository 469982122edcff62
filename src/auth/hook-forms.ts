/** Forms of questions and answers that HTTP hooks may have. */
export const hookPresets = ['emqx', 'mosquitto-go-auth'] as const
export type HookPreset = (typeof hookPresets)[number]

/** Mosquitto-go-auth: where the answer stands. */
export const responseModes = ['status', 'json', 'text'] as const
export type ResponseMode = (typeof responseModes)[number]
