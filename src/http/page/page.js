/**
 * The live page: one row per topic with its last value, and a form to publish.
 *
 * Messages only change a map; the screen follows once per animation frame and touches only rows whose topic changed, at most
 * `rowsPerFrameMax` of them, so a flood of messages costs the browser a bounded amount of work. Of a payload only its
 * beginning is kept, and beyond `topicsMax` topics new ones are counted but not shown.
 */
/* global mqtt */

const topicsMax = 1000
const rowsPerFrameMax = 200
const payloadBytesKept = 1024
const reconnectDelayMsMax = 15_000

const byId = (id) => document.getElementById(id)
const timeFormat = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })

/** topic -> { topic, bytes, size, qos, retain, count, at, row } */
const topics = new Map()
/** Topics in the order of the table's rows. */
const sortedTopics = []
const changed = new Set()
let messagesTotal = 0
let messagesBefore = 0
let topicsUnshown = 0
let paused = false
let frameAsked = false
let subscribedFilter = ''
/** Tells messages of this subscription from late ones of the filter before. */
let subscriptionIdentifier = 0

// Connection

let reconnectDelayMs = 1000
const client = mqtt.connect(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/mqtt`, {
  protocolVersion: 5,
  clientId: `page-${Math.random().toString(36).slice(2, 10)}`,
  clean: true,
  keepalive: 60,
  reconnectPeriod: reconnectDelayMs,
  resubscribe: false,
  properties: { receiveMaximum: 1000 },
})

client.on('connect', () => {
  reconnectDelayMs = 1000
  client.options.reconnectPeriod = reconnectDelayMs
  showConnection('connected', `Connected to ${location.host}`)
  byId('publish').querySelector('button').disabled = false
  subscribedFilter = ''
  subscribe(byId('filter').value)
})
client.on('close', () => {
  showConnection('offline', `Disconnected; next attempt within ${Math.ceil(reconnectDelayMs / 1000)} s`)
  byId('publish').querySelector('button').disabled = true
  // MQTT.js waits the same time before each attempt; a gateway that restarts shouldn't meet all pages at once.
  reconnectDelayMs = Math.min(reconnectDelayMs * 2, reconnectDelayMsMax)
  client.options.reconnectPeriod = reconnectDelayMs
})
client.on('reconnect', () => showConnection('connecting', 'Connecting…'))
client.on('error', (error) => showConnection('offline', `Refused: ${error.message}`))
client.on('disconnect', (packet) => {
  const reason = packet.properties?.reasonString
  notify(`The gateway closed the connection${reason ? `: ${reason}` : ` (reason code ${packet.reasonCode})`}.`)
})

function showConnection(state, text) {
  byId('connection').dataset.state = state
  byId('connection-text').textContent = text
}

function notify(text) {
  byId('notice').textContent = text
  byId('notice').hidden = text === ''
}

// Subscription

function subscribe(filter) {
  if (filter === subscribedFilter) return
  if (subscribedFilter !== '') client.unsubscribe(subscribedFilter)
  subscribedFilter = filter
  clear()
  notify('')
  rememberFilter(filter)
  subscriptionIdentifier++
  client.subscribe(filter, { qos: 2, rap: true, properties: { subscriptionIdentifier } }, (error) => {
    if (error && filter === subscribedFilter) {
      subscribedFilter = ''
      notify(`The gateway refused “${filter}”: ${error.message}`)
    }
  })
}

function rememberFilter(filter) {
  const address = new URL(location.href)
  if (filter === '#') address.searchParams.delete('filter')
  else address.searchParams.set('filter', filter)
  history.replaceState(null, '', address)
}

byId('filter').value = new URL(location.href).searchParams.get('filter') || '#'
byId('subscribe').addEventListener('submit', (event) => {
  event.preventDefault()
  if (client.connected) subscribe(byId('filter').value)
})

// Messages

client.on('message', (topic, payload, packet) => {
  const identifier = packet.properties?.subscriptionIdentifier
  if (identifier !== undefined && identifier !== subscriptionIdentifier) return
  messagesTotal++
  let entry = topics.get(topic)
  if (!entry) {
    if (topics.size >= topicsMax) {
      topicsUnshown++
      askFrame()
      return
    }
    entry = { topic, count: 0, row: undefined }
    topics.set(topic, entry)
  }
  entry.count++
  // A copy: the payload is a view of a larger buffer, which would stay in memory as long as the row.
  entry.bytes = payload.slice(0, payloadBytesKept)
  entry.size = payload.length
  entry.qos = packet.qos
  entry.retain = packet.retain
  entry.at = Date.now()
  changed.add(entry)
  askFrame()
})

function askFrame() {
  if (frameAsked) return
  frameAsked = true
  requestAnimationFrame(drawFrame)
}

function drawFrame() {
  frameAsked = false
  if (!paused) drawChangedRows()
  byId('topic-count').textContent = topics.size.toLocaleString()
  byId('message-count').textContent = messagesTotal.toLocaleString()
  byId('empty').hidden = topics.size > 0
  if (topicsUnshown > 0) {
    notify(
      `Only the first ${topicsMax.toLocaleString()} topics are shown; ${topicsUnshown.toLocaleString()} messages on others arrived. A narrower filter shows them.`,
    )
  }
  if (changed.size > 0 && !paused) askFrame()
}

function drawChangedRows() {
  let left = rowsPerFrameMax
  for (const entry of changed) {
    if (left-- === 0) break
    changed.delete(entry)
    drawRow(entry)
  }
}

function drawRow(entry) {
  entry.row ??= insertRow(entry.topic)
  const { row } = entry
  drawValue(row.cells[1], entry)
  row.cells[2].textContent = entry.count.toLocaleString()
  row.cells[3].replaceChildren(String(entry.qos))
  if (entry.retain) {
    const badge = document.createElement('span')
    badge.className = 'badge'
    badge.textContent = 'retained'
    row.cells[3].append(badge)
  }
  row.cells[4].textContent = timeFormat.format(entry.at)
  // Changing between two equal animations starts it again.
  row.className = row.className === 'fresh-a' ? 'fresh-b' : 'fresh-a'
}

function insertRow(topic) {
  let low = 0
  let high = sortedTopics.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sortedTopics[middle] < topic) low = middle + 1
    else high = middle
  }
  const row = byId('rows').insertRow(low)
  sortedTopics.splice(low, 0, topic)
  const button = document.createElement('button')
  button.type = 'button'
  button.textContent = topic
  button.title = 'Use this topic for publishing'
  button.addEventListener('click', () => {
    byId('topic').value = topic
    byId('payload').focus()
  })
  row.insertCell().append(button)
  row.cells[0].className = 'topic'
  for (const name of ['value', 'number', 'qos', 'time']) row.insertCell().className = name
  return row
}

function drawValue(cell, entry) {
  const text = textOf(entry)
  const value = document.createElement('div')
  value.textContent = entry.size === 0 ? 'empty' : (text ?? hexOf(entry.bytes))
  cell.className = entry.size === 0 ? 'value blank' : text === undefined ? 'value binary' : 'value'
  cell.replaceChildren(value)
  if (text === undefined || entry.size > entry.bytes.length) {
    const size = document.createElement('span')
    size.className = 'size'
    size.textContent = entry.size > entry.bytes.length ? `${sizeOf(entry.size)}, beginning shown` : sizeOf(entry.size)
    cell.append(size)
  }
}

/** The payload's kept part as text, or undefined if it's no text: not UTF-8, or with control characters in it. */
function textOf({ bytes, size }) {
  let text
  try {
    // As of a stream, so that a character cut at the end is left out instead of taken for a fault.
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: size > bytes.length })
  } catch {
    return undefined
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what makes it binary
  return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text) ? undefined : text
}

function hexOf(bytes) {
  return Array.from(bytes.subarray(0, 256), (byte) => byte.toString(16).padStart(2, '0')).join(' ')
}

function sizeOf(bytes) {
  if (bytes < 1000) return `${bytes} B`
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}

function clear() {
  topics.clear()
  changed.clear()
  sortedTopics.length = 0
  topicsUnshown = 0
  messagesTotal = 0
  messagesBefore = 0
  byId('rows').replaceChildren()
  notify('')
  askFrame()
}

setInterval(() => {
  byId('message-rate').textContent = Math.max(0, messagesTotal - messagesBefore).toLocaleString()
  messagesBefore = messagesTotal
}, 1000)

byId('clear').addEventListener('click', clear)
byId('pause').addEventListener('click', () => {
  paused = !paused
  byId('pause').setAttribute('aria-pressed', String(paused))
  byId('pause').textContent = paused ? 'Resume' : 'Pause'
  askFrame()
})

// Publishing

byId('publish').addEventListener('submit', (event) => {
  event.preventDefault()
  const topic = byId('topic').value
  const qos = Number(byId('qos').value)
  const retain = byId('retain').checked
  if (!client.connected) return
  if (/[+#]/.test(topic)) {
    showPublished('A topic to publish to has no + and no #; those are for filters.', true)
    return
  }
  showPublished('Sending…', false)
  client.publish(topic, byId('payload').value, { qos, retain }, (error, packet) => {
    if (error) showPublished(`Not published: ${error.message}`, true)
    else if (packet?.reasonCode === 0x10) showPublished(`Published to ${topic}; nobody has subscribed to it.`, false)
    else showPublished(`Published to ${topic}${qos === 0 ? '' : ', acknowledged'}.`, false)
  })
})
byId('payload').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) byId('publish').requestSubmit()
})

function showPublished(text, failed) {
  byId('published').textContent = text
  byId('published').toggleAttribute('data-failed', failed)
}
