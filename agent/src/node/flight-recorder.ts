import type { CoreImage } from '../raft/image.ts'
import type { Input } from '../raft/input.ts'

/** A core as it was, and everything that happened to it since. */
export interface Recording {
  readonly image: CoreImage
  readonly inputs: readonly Input[]
}

/** Of one part; what is kept is between one part and two. */
const INPUTS_MAX = 2_000
const BYTES_MAX = 1024 * 1024

/**
 * Keeps the last inputs of the core, so that a failed assertion in production can be replayed. Costs
 * a reference an input, and an image of the core every few thousand.
 */
export class FlightRecorder {
  #older: Recording | null = null
  #image: CoreImage | null = null
  #inputs: Input[] = []
  #bytes = 0

  /** @param image of the core before `input`; asked for only now and then */
  record(input: Input, image: () => CoreImage): void {
    if (this.#image === null || this.#inputs.length >= INPUTS_MAX || this.#bytes >= BYTES_MAX) {
      if (this.#image !== null) this.#older = { image: this.#image, inputs: this.#inputs }
      this.#image = image()
      this.#inputs = []
      this.#bytes = 0
    }
    this.#inputs.push(input)
    this.#bytes += payloadBytes(input)
  }

  /** Null before the first input. */
  recording(): Recording | null {
    if (this.#image === null) return null
    if (this.#older === null) return { image: this.#image, inputs: this.#inputs }
    return { image: this.#older.image, inputs: [...this.#older.inputs, ...this.#inputs] }
  }
}

function payloadBytes(input: Input): number {
  if (input.kind === 'propose') return sum(input.proposals)
  if (input.kind === 'loaded') return sum(input.entries)
  if (input.kind !== 'receive' || input.message.kind !== 'append-entries') return 0
  return sum(input.message.entries)
}

function sum(parts: readonly { readonly payload: Uint8Array }[]): number {
  let bytes = 0
  for (const { payload } of parts) bytes += payload.length
  return bytes
}
