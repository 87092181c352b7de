/** A promise that was broken; the run ends here. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/** Fails the run unless `holds`. */
export function must(holds: boolean, invariant: string): asserts holds {
  if (!holds) throw new Violation(invariant)
}
