/**
 * A strict subset of HTTP/1.1, which every reader of HTTP understands in the same way: see decision 0004. What is not
 * in it is not refused here: `read` says "not mine", and Node's parser judges it.
 */
import type { HeaderName } from '../head.ts'

/** Below every limit on heads, targets and single headers. */
const HEAD_BYTES_MAX = 4096
/** Of a body's length, so that it is a small whole number. */
const DIGITS_MAX = 8
const SPACE = 0x20
const CR = 0x0d
const LF = 0x0a
const COLON = 0x3a
const ZERO = 0x30
const VERSION = Buffer.from(' HTTP/1.1\r\n')
/** between a header's name and its value */
const BETWEEN = Buffer.from(': ')
const LINE_END = Buffer.from('\r\n')

/** Whether a byte is one of these characters; of a byte that is not there: no. */
function bytesOf(...parts: readonly (string | readonly [number, number])[]): Uint8Array {
  const table = new Uint8Array(256)
  for (const part of parts) {
    if (typeof part === 'string') for (const byte of Buffer.from(part)) table[byte] = 1
    else table.fill(1, part[0], part[1] + 1)
  }
  return table
}

const LETTERS = [
  [0x41, 0x5a],
  [0x61, 0x7a],
] as const
const DIGITS = [0x30, 0x39] as const
const IN_NAME = bytesOf(...LETTERS, DIGITS, '-')
const IN_VALUE = bytesOf([0x20, 0x7e])
const IN_HOST = bytesOf(...LETTERS, DIGITS, '._~-')
/** What paths and queries may have unescaped, but for what only queries may. */
const IN_TARGET = bytesOf(...LETTERS, DIGITS, "._~!$&'()*+,;=:@/%-?")

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'HEAD'] as const
const STARTS = METHODS.map(method => ({ method, start: Buffer.from(`${method} /`) }))

/** How a header is read; `own`: by whoever asks for it, `never`: it may change what the other bytes are. */
type Reading = 'host' | 'length' | 'type' | 'connection' | 'hop' | 'own' | 'never'
/** What Node's parser looks at beside. */
type Framing =
  | 'connection'
  | 'transfer-encoding'
  | 'upgrade'
  | 'proxy-connection'
  | 'te'
  | 'trailer'
  | 'x-raft-hop'
/** All that this API reads: a name that is not here does not compile. */
const READINGS: Readonly<Record<HeaderName | Framing, Reading>> = {
  host: 'host',
  'content-length': 'length',
  'content-type': 'type',
  connection: 'connection',
  'x-raft-hop': 'hop',
  'content-encoding': 'own',
  'x-raft-min-index': 'own',
  'idempotency-key': 'own',
  'x-raft-passed-on': 'own',
  'if-match': 'own',
  'if-none-match': 'own',
  'last-event-id': 'own',
  authorization: 'own',
  'x-consul-token': 'own',
  'transfer-encoding': 'never',
  expect: 'never',
  upgrade: 'never',
  'proxy-connection': 'never',
  te: 'never',
  trailer: 'never',
}

interface Known {
  readonly name: string
  readonly reading: Reading
}

/** By length and first letter, so that most headers are passed over after two look-ups. */
const KNOWN: (readonly Known[] | undefined)[] = []
for (const [name, reading] of Object.entries(READINGS)) {
  const slot = slotOf(name.length, name.charCodeAt(0))
  KNOWN[slot] = [...(KNOWN[slot] ?? []), { name, reading }]
}
const SLOTS_END = slotOf(32, 0)
for (let slot = 0; slot < SLOTS_END; slot++) KNOWN[slot] ??= undefined

function slotOf(length: number, first: number): number {
  return length * 32 + (first & 0x1f)
}

/** What some bytes begin with: `cut`: they are the beginning of a plain head, and of nothing else so far. */
export type Found = 'whole' | 'cut' | 'other'

/** In place of where something begins. */
const OTHER = -1
const CUT = -2

/** The head at the beginning of some bytes. */
export class PlainHead {
  method = ''
  target = ''
  /** of the head, with the empty line */
  bytes = 0
  /** of the body; 0 where no header says so */
  contentLength = 0
  contentType: string | null = null
  hop = false
  /** What else this API reads; null: none of it. */
  own: Map<HeaderName, string> | null = null
  #seen = 0

  /** `other`: not mine. What is cut is read anew, by another one, when more has come. */
  read(bytes: Buffer, from = 0): Found {
    const end = Math.min(bytes.length, from + HEAD_BYTES_MAX)
    let at = this.#readLine(bytes, from, end)
    while (at >= 0 && at < end && bytes[at] !== CR) at = this.#readHeader(bytes, at, end)
    if (at === OTHER) return 'other'
    if (at === CUT || at + 1 >= end) return end < from + HEAD_BYTES_MAX ? 'cut' : 'other'
    if (bytes[at + 1] !== LF) return 'other'
    this.bytes = at + 2 - from
    const sends = this.method === 'POST' || this.method === 'PUT'
    const isPlain = (this.#seen & HOST_SEEN) !== 0 && ((this.#seen & LENGTH_SEEN) !== 0) === sends
    return isPlain ? 'whole' : 'other'
  }

  /** Where the first header begins; or `OTHER`, or `CUT`. The next two likewise. */
  #readLine(bytes: Buffer, first: number, end: number): number {
    let from = OTHER
    for (const { method, start } of STARTS) {
      from = behind(bytes, { from: first, to: end }, start)
      this.method = method
      if (from !== OTHER) break
    }
    if (from < 0) return from
    let at = from
    while (at < end && IN_TARGET[bytes[at] as number] === 1) at++
    this.target = latin1(bytes, from - 1, at)
    return behind(bytes, { from: at, to: end }, VERSION)
  }

  #readHeader(bytes: Buffer, from: number, end: number): number {
    let colon = from
    while (colon < end && IN_NAME[bytes[colon] as number] === 1) colon++
    if (colon === from && colon < end) return OTHER
    const start = behind(bytes, { from: colon, to: end }, BETWEEN)
    if (start < 0) return start
    let at = start
    while (at < end && IN_VALUE[bytes[at] as number] === 1) at++
    if (at === end) return bytes[start] === SPACE ? OTHER : CUT
    if (at === start || bytes[start] === SPACE || bytes[at - 1] === SPACE) return OTHER
    const next = behind(bytes, { from: at, to: end }, LINE_END)
    if (next < 0) return next
    const known = knownName(bytes, from, colon)
    return known === null || this.#take(known, bytes, { from: start, to: at }) ? next : OTHER
  }

  #take({ name, reading }: Known, bytes: Buffer, { from, to }: Part): boolean {
    switch (reading) {
      case 'host':
        return this.#first(HOST_SEEN) && isHost(bytes, from, to)
      case 'length':
        this.contentLength = lengthIn(bytes, from, to)
        return this.#first(LENGTH_SEEN) && this.contentLength !== -1
      case 'type':
        this.contentType = latin1(bytes, from, to)
        return this.#first(TYPE_SEEN)
      case 'hop':
        this.hop = true
        return true
      case 'connection':
        return (
          this.#first(CONNECTION_SEEN) && latin1(bytes, from, to).toLowerCase() === 'keep-alive'
        )
      case 'own':
        this.own ??= new Map()
        if (this.own.has(name as HeaderName)) return false
        this.own.set(name as HeaderName, latin1(bytes, from, to))
        return true
      case 'never':
        return false
    }
  }

  #first(mark: number): boolean {
    const before = this.#seen
    this.#seen |= mark
    return (before & mark) === 0
  }
}

const HOST_SEEN = 1
const LENGTH_SEEN = 2
const TYPE_SEEN = 4
const CONNECTION_SEEN = 8

interface Part {
  readonly from: number
  readonly to: number
}

/** Where what follows these words begins; `CUT` where the bytes end within them. */
function behind(bytes: Buffer, { from, to }: Part, words: Buffer): number {
  const end = Math.min(to, from + words.length)
  for (let at = from; at < end; at++) if (bytes[at] !== words[at - from]) return OTHER
  return end < from + words.length ? CUT : end
}

function latin1(bytes: Buffer, from: number, to: number): string {
  return bytes.toString('latin1', from, to)
}

/** Null: nobody here reads it. */
function knownName(bytes: Buffer, from: number, to: number): Known | null {
  const slot = slotOf(to - from, bytes[from] as number)
  const candidates = slot < SLOTS_END ? KNOWN[slot] : undefined
  return candidates?.find(({ name }) => isName(bytes, from, name)) ?? null
}

/** In any case of its letters. The bytes are letters, digits and hyphens. */
function isName(bytes: Buffer, from: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    if (((bytes[from + i] as number) | 0x20) !== name.charCodeAt(i)) return false
  }
  return true
}

/** A name or an IPv4 address, with a port or without. */
function isHost(bytes: Buffer, from: number, to: number): boolean {
  let at = from
  while (at < to && IN_HOST[bytes[at] as number] === 1) at++
  if (at === from || at === to) return at > from
  const digits = to - at - 1
  return bytes[at] === COLON && digits >= 1 && digits <= 5 && areDigits(bytes, at + 1, to)
}

function areDigits(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] as number) - ZERO
    if (digit < 0 || digit > 9) return false
  }
  return true
}

/** -1 unless it is written in the one way that has no doubt. */
function lengthIn(bytes: Buffer, from: number, to: number): number {
  if (to - from > DIGITS_MAX || !areDigits(bytes, from, to)) return -1
  if (bytes[from] === ZERO) return to - from === 1 ? 0 : -1
  let length = 0
  for (let at = from; at < to; at++) length = length * 10 + (bytes[at] as number) - ZERO
  return length
}
