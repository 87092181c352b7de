/** Something that takes bytes from outside. */
export interface Target {
  readonly name: string
  /** valid input */
  readonly seeds: readonly Uint8Array[]
  /** Takes one case. @throws whatever is wrong with it: all that is allowed is caught here */
  take(bytes: Uint8Array): void | Promise<void>
  /** how many cases may be under way at once */
  readonly width: number
  /** what has to hold after some cases. @throws Error when it does not */
  check?(): Promise<void>
  close?(): Promise<void>
}
