const NOTHING = Buffer.alloc(0)

/** Bytes of one connection that came and belong to no request that was begun. */
export class Unread {
  #chunks: Buffer[] = []
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
  }

  /** All of them; they stay. */
  front(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks, this.#bytes)]
    return this.#chunks[0] ?? NOTHING
  }

  /** The first so many, which are here. */
  take(bytes: number): Buffer {
    const all = this.front()
    this.#chunks = bytes < all.length ? [all.subarray(bytes)] : []
    this.#bytes -= bytes
    return all.subarray(0, bytes)
  }

  takeAll(): Buffer {
    return this.take(this.#bytes)
  }
}
