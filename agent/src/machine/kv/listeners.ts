import type { EntryChanges, Interest } from './change.ts'

/** @param first index of the first entry of the batch that concerns the listener; perhaps not by this entry */
export type Listener = (first: number) => void

/**
 * Who listens to what, found by the changed key: the cost of a change grows with the number of
 * different lengths of prefixes, never with the number of listeners that it does not concern.
 */
export class Listeners {
  readonly #keys = new Map<string, Set<Listener>>()
  readonly #prefixes = new Map<string, Set<Listener>>()
  /** of the prefixes: how many there are of each length */
  readonly #lengths = new Map<number, number>()
  readonly #sessions = new Set<Listener>()

  #count = 0
  #concerned = new Set<Listener>()

  /** How many there are. */
  get size(): number {
    return this.#count
  }

  /** @returns how to stop it, once */
  add(interest: Interest, listener: Listener): () => void {
    const remove = this.#add(interest, listener)
    this.#count++
    let listening = true
    return () => {
      if (!listening) return
      listening = false
      this.#count--
      remove()
    }
  }

  #add(interest: Interest, listener: Listener): () => void {
    if (interest.kind === 'sessions') {
      this.#sessions.add(listener)
      return () => this.#sessions.delete(listener)
    }
    const text = latin1(interest.bytes)
    if (interest.kind === 'key') {
      insert(this.#keys, text, listener)
      return () => remove(this.#keys, text, listener)
    }
    if (insert(this.#prefixes, text, listener)) {
      this.#lengths.set(text.length, (this.#lengths.get(text.length) ?? 0) + 1)
    }
    return () => this.#removePrefix(text, listener)
  }

  /** Whoever an entry concerns is called the next time. */
  concern({ changes, sessions }: EntryChanges): void {
    if (this.#count === 0) return
    if (sessions) addAll(this.#concerned, this.#sessions)
    for (const { key } of changes) this.concernKey(latin1(key))
  }

  /** The same for a change of one key; one character a byte. */
  concernKey(key: string): void {
    if (this.#keys.size > 0) addAll(this.#concerned, this.#keys.get(key))
    for (const length of this.#lengths.keys()) {
      if (length <= key.length) addAll(this.#concerned, this.#prefixes.get(key.slice(0, length)))
    }
  }

  /** Calls those who are concerned since the last call, once each. */
  call(first: number): void {
    if (this.#concerned.size === 0) return
    const concerned = this.#concerned
    this.#concerned = new Set()
    for (const listener of concerned) listener(first)
  }

  /** Calls everybody. */
  notifyAll(first: number): void {
    this.#concerned = new Set()
    const everybody = new Set(this.#sessions)
    for (const listeners of this.#keys.values()) addAll(everybody, listeners)
    for (const listeners of this.#prefixes.values()) addAll(everybody, listeners)
    for (const listener of everybody) listener(first)
  }

  #removePrefix(text: string, listener: Listener): void {
    if (!remove(this.#prefixes, text, listener)) return
    const left = (this.#lengths.get(text.length) ?? 0) - 1
    if (left > 0) this.#lengths.set(text.length, left)
    else this.#lengths.delete(text.length)
  }
}

/** @returns whether it is the first under its name */
function insert(map: Map<string, Set<Listener>>, name: string, listener: Listener): boolean {
  const found = map.get(name)
  if (found !== undefined) {
    found.add(listener)
    return false
  }
  map.set(name, new Set([listener]))
  return true
}

/** @returns whether it was the last under its name */
function remove(map: Map<string, Set<Listener>>, name: string, listener: Listener): boolean {
  const found = map.get(name)
  if (found === undefined || !found.delete(listener) || found.size > 0) return false
  map.delete(name)
  return true
}

function addAll(into: Set<Listener>, listeners: ReadonlySet<Listener> | undefined): void {
  if (listeners === undefined) return
  for (const listener of listeners) into.add(listener)
}

/** One character a byte. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
