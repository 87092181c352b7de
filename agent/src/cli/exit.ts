/** What a command's exit status says; the help repeats it. */
export const EXIT = {
  done: 0,
  /** refused, or not so: nothing happened that was asked for */
  failed: 1,
  usage: 2,
  /** nobody answered, no leader, too busy, or a write whose fate is not known */
  unsettled: 3,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Ends a command: words for people, and the status. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly exitCode: ExitCode
  /** of the HTTP answer, where one was the reason */
  readonly status: number | null
  /** what programs may tell errors apart by; '' where there is none */
  readonly code: string

  constructor(
    exitCode: ExitCode,
    message: string,
    answer: { status: number; code: string } | null,
  ) {
    super(message)
    this.exitCode = exitCode
    this.status = answer?.status ?? null
    this.code = answer?.code ?? ''
  }
}

export function failed(message: string): CommandError {
  return new CommandError(EXIT.failed, message, null)
}

export function misused(message: string): CommandError {
  return new CommandError(EXIT.usage, message, null)
}
