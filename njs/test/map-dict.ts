import type { Dict } from '../src/dict.ts'

/** nginx's shared dict, as a map. */
export class MapDict extends Map<string, string> implements Dict {
  readonly capacity = 2
  /** called before each write */
  before: (key: string) => void = () => {}

  override set(key: string, value: string): this {
    this.before(key)
    return super.set(key, value)
  }

  freeSpace(): number {
    return 1
  }
}
