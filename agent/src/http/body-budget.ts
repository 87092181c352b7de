/** What the bodies of all requests may have of memory together, from their first byte to the end of their answer. */
export class BodyBudget {
  readonly #bytesMax: number
  readonly #taken = new Map<object, number>()
  #held = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Bytes that bodies have now. */
  get held(): number {
    return this.#held
  }

  /** False: there is no room for so much more of this body; then nothing is taken. */
  take(incoming: object, bytes: number): boolean {
    if (this.#held + bytes > this.#bytesMax) return false
    this.#held += bytes
    this.#taken.set(incoming, (this.#taken.get(incoming) ?? 0) + bytes)
    return true
  }

  /** The body is not needed any more. */
  release(incoming: object): void {
    const bytes = this.#taken.get(incoming)
    if (bytes === undefined) return
    this.#taken.delete(incoming)
    this.#held -= bytes
  }
}
