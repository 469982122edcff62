/** `mqtide/tasks`: typed tasks over the gateway's queues, for programs of Node. */
import { inProcess, type TaskGateway } from './in-process.ts'
import { type MqttSettings, overMqtt } from './over-mqtt.ts'
import type { AnyTasks, TaskMap } from './task-map.ts'
import { Tasks } from './tasks.ts'

export type { BackOff } from './back-off.ts'
export { RetryError, TaskFailedError, TaskTimeoutError, UnrecoverableError } from './errors.ts'
export type { TaskGateway } from './in-process.ts'
export type { MqttSettings } from './over-mqtt.ts'
export type { DataOf, ResultOf, TaskMap } from './task-map.ts'
export type {
  EnqueueOptions,
  Handler,
  RequestOptions,
  Scheduled,
  ScheduleOptions,
  StopOptions,
  TaskEvents,
  Tasks,
  UniqueOptions,
} from './tasks.ts'
export type { AttemptEvent, DefineOptions, TaskJob } from './worker.ts'

/** Of a gateway in the same process, or of one that is reached over MQTT 5.0. */
export type TasksOptions = { gateway: TaskGateway; namespace?: string } | MqttSettings

/**
 * Resolves when the gateway is there. Over MQTT it waits for one that does not answer yet, and rejects where it says no.
 */
export async function createTasks<Map extends TaskMap<Map> = AnyTasks>(options: TasksOptions): Promise<Tasks<Map>> {
  const broker = 'gateway' in options ? inProcess(options.gateway, options.namespace) : await overMqtt(options)
  return new Tasks<Map>(broker)
}
