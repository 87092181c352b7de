import type { Result } from '../state-machine.ts'
import type { CommandContext } from './memory-machine.ts'

const CODE = /^[A-Z0-9_]{1,64}$/

/** Carries a code from `context.reject` through the author's frames. */
class Rejection extends Error {
  override readonly name = 'Rejection'
  readonly code: string

  constructor(code: string) {
    super(`the command was refused: ${code}`)
    this.code = code
  }
}

/**
 * Runs one `apply` of an author.
 * @throws whatever it threw that is no refusal
 */
export function judge(
  at: Pick<CommandContext, 'index' | 'timeMs'>,
  apply: (context: CommandContext) => Uint8Array | undefined,
): Result {
  try {
    return { kind: 'done', value: checked(apply({ ...at, reject })) }
  } catch (error) {
    if (error instanceof Rejection) return { kind: 'rejected', code: error.code }
    throw error
  }
}

function reject(code: string): never {
  if (!CODE.test(code)) throw new TypeError('the code of a refusal is 1 to 64 of A-Z, 0-9 and _')
  throw new Rejection(code)
}

/** Authors write JavaScript too: a Promise here would be a result that nobody waits for. */
function checked(value: unknown): Uint8Array | null {
  if (value === undefined || value === null) return null
  if (value instanceof Uint8Array) return value
  throw new TypeError('apply returns bytes or nothing, and at once')
}
