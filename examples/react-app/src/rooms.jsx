import { useConnection, usePublish, useTopic, useTopics } from 'mqtide/react'
import { useState } from 'react'

/** All rooms that have reported; the one that is chosen can be set warmer and colder. */
export function Rooms() {
  const { state, error } = useConnection()
  const climates = useTopics('home/+/climate')
  const [chosen, choose] = useState()
  return (
    <main>
      <p>{error ? `${state}: ${error.message}` : state}</p>
      {climates.size === 0 && <p>No room has reported. Start one: node thermostat.mjs</p>}
      <ul>
        {[...climates.keys()].sort().map((topic) => {
          const room = topic.split('/')[1]
          return (
            <li key={room}>
              <button type="button" onClick={() => choose(room)}>
                {room}
              </button>{' '}
              {climates.get(topic).json().temperature} °C
            </li>
          )
        })}
      </ul>
      {chosen && <Room name={chosen} />}
    </main>
  )
}

function Room({ name }) {
  const climate = useTopic(`home/${name}/climate`)?.json()
  const publish = usePublish()
  const [fault, setFault] = useState()
  const turn = (degrees) => {
    publish(`home/${name}/target`, String(climate.target + degrees)).then(
      () => setFault(undefined),
      (error) => setFault(error.message),
    )
  }
  if (!climate) return null
  return (
    <section>
      <h2>{name}</h2>
      <p>
        {climate.temperature} °C, heading for {climate.target} °C
      </p>
      <button type="button" onClick={() => turn(-1)}>
        colder
      </button>{' '}
      <button type="button" onClick={() => turn(1)}>
        warmer
      </button>
      {fault && <p role="alert">{fault}</p>}
    </section>
  )
}
