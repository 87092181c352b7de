import { type Refusal, refuse } from './refusal.ts'

const SLASH = 0x2f
const DOT = 0x2e

/** Of a key as text, the rules below but for its length: for whoever can read no code. A test compares the two. */
export const PLAIN_KEY = /^(?!(?:[\s\S]*\/)?\.{1,2}(?:\/|$))[^\0]+$/

/**
 * What no key may be, on any path and in any body: such a key could not be read back through nginx.
 * Null when the key is fine.
 */
export function checkKey(key: Uint8Array, bytesMax: number): Refusal | null {
  if (key.length === 0) return refuse(400, 'BAD_KEY', 'the key is empty')
  if (key.length > bytesMax) return refuse(400, 'BAD_KEY', `a key has at most ${bytesMax} bytes`)
  if (key.includes(0)) return refuse(400, 'BAD_KEY', 'a key has no NUL')
  if (hasDotSegment(key)) return refuse(400, 'BAD_KEY', 'a key has no segment "." or ".."')
  return null
}

/** Whether a part between slashes is `.` or `..`. */
export function hasDotSegment(path: Uint8Array): boolean {
  if (!path.includes(DOT)) return false
  let start = 0
  for (let at = 0; at <= path.length; at++) {
    if (at < path.length && path[at] !== SLASH) continue
    const length = at - start
    if (length === 1 && path[start] === DOT) return true
    if (length === 2 && path[start] === DOT && path[start + 1] === DOT) return true
    start = at + 1
  }
  return false
}
