#!/usr/bin/env node
/** The command `mqtide`. */
import { load } from './load.js'

load('mqtide', 'src/main')
