/**
 * What tasks there are, as a type: by name a function from what a job is given to what it results in. An interface will do, and so will
 * `typeof handlers`, since whatever parameters come after the first are not looked at.
 *
 *     interface Plant { resize(picture: { file: string; width: number }): { bytes: number } }
 */
export type TaskMap<Map> = { [Name in keyof Map]: (data: never, ...rest: never[]) => unknown }

/** Where no map is given: data is to be looked at before it is used. */
export type AnyTasks = Record<string, (data: unknown) => unknown>

export type NameOf<Map> = Extract<keyof Map, string>

/** What a job of the task is given. */
export type DataOf<Map, Name extends keyof Map> = Map[Name] extends (data: infer Data, ...rest: never[]) => unknown
  ? Data
  : never

/** What a job of the task results in. */
export type ResultOf<Map, Name extends keyof Map> = Map[Name] extends (...all: never[]) => infer Result
  ? Awaited<Result>
  : never
