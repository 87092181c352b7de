/** A broken invariant: our own bug, or a disk that lies. The node stops on it and keeps its files. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/**
 * States one invariant in positive form. Stays on in production.
 * @throws AssertionError
 */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant)
}

/** Ends a `switch` over a union, so that a new member fails to compile. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}
