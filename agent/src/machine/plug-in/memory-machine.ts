import type { Routes } from './host.ts'

/**
 * What an author writes: a state machine that lives in memory. The cluster keeps it: every command is in
 * the log of a majority before it is applied, and the state comes back from the newest snapshot and the
 * log behind it. Nothing of Raft appears here.
 *
 * The one duty: the same commands in the same order make the same state and the same results on every
 * node. So `apply` asks no clock, draws no chance, reads no file and no environment, and awaits nothing;
 * what it needs beside the state stands in the command, or in the context.
 */
export interface MemoryMachine {
  /** Names its routes, `/fsm/<name>/`, and its files: a-z, 0-9 and `-`, at most 32. */
  readonly name: string
  /**
   * Changes the state; what it returns is the answer to whoever sent the command. A command that cannot
   * be carried out is refused by `context.reject`, before anything was changed. Any other error stops
   * the node: it could not be told from a node that computes something else.
   */
  apply(command: Uint8Array, context: CommandContext): Uint8Array | undefined
  /** Reads, and changes nothing. What is thrown here fails this one request. */
  query(query: Uint8Array): Uint8Array
  /** The whole state. Two nodes in the same state give the same bytes. */
  snapshot(): Uint8Array
  /** Replaces the whole state by what `snapshot` gave. */
  restore(state: Uint8Array): void
  /** HTTP of its own; without it the machine can only be reached by code. */
  readonly routes?: Routes
}

/** What a command may know beside the state: equal on every node. */
export interface CommandContext {
  /** Of its entry in the log: grows with every command, and is never given twice. */
  readonly index: number
  /** When the leader took it, Unix ms. Never falls from one command to the next. */
  readonly timeMs: number
  /**
   * Refuses the command: the state must be as it was before.
   * @param code for programs, such as `QUEUE_EMPTY`: A-Z, 0-9 and `_`, at most 64
   */
  reject(code: string): never
}
