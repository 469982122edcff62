#!/usr/bin/env node
/** The command `mqtide-simulator`: the device simulator. */
import { load } from './load.js'

load('mqtide-simulator', 'device-simulator/main')
