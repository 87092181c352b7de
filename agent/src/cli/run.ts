import type { Context } from './context.ts'

/** Wraps a command's action, so that it is given what all of them need. */
export type Run = <Args extends unknown[]>(
  action: (context: Context, ...args: Args) => Promise<void> | void,
) => (...args: Args) => Promise<void>
