/** Forms of questions and answers that HTTP hooks may have. */
export const hookPresets = ['emqx', 'mosquitto-go-auth'] as const
export type HookPreset = (typeof hookPresets)[number]

/** Mosquitto-go-auth: where the answer stands. */
export const responseModes = ['status', 'json', 'text'] as const
export type ResponseMode = (typeof responseModes)[number]

/** What a header's name and value may be (RFC 9110, section 5); fetch would tell the whole value that is not so. */
export const headerNamePattern = /^[!#$%&'*+.^_`|~\w-]+$/
export const headerValuePattern = /^[\t\x20-\x7e\x80-\xff]*$/
