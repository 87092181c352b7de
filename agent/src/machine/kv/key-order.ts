/** Bytes of a key that are compared, and places that fit beside them in a double. */
const COMPARED = 4
const PLACES = 2 ** 20

/**
 * The same, nearly in the order of their names: by what follows the beginning that all have. Neighbours of a table are
 * then written one after the other, so that a page is not come back to. Comparing whole names costs ten times as much.
 */
export function nearlyInOrder<Named extends { readonly name: string }>(items: Named[]): Named[] {
  if (items.length > PLACES) return items
  const common = commonLength(items)
  const marks = new Float64Array(items.length)
  for (let place = 0; place < items.length; place++) {
    const { name } = items[place] as Named
    let mark = 0
    for (let at = common; at < common + COMPARED; at++) {
      mark = mark * 256 + (at < name.length ? name.charCodeAt(at) : 0)
    }
    marks[place] = mark * PLACES + place
  }
  marks.sort()
  const ordered: Named[] = []
  for (const mark of marks) ordered.push(items[mark % PLACES] as Named)
  return ordered
}

/** Of the beginning that all names have. */
function commonLength(items: readonly { readonly name: string }[]): number {
  const first = items[0]?.name ?? ''
  let length = first.length
  for (const { name } of items) {
    let at = 0
    while (at < length && name.charCodeAt(at) === first.charCodeAt(at)) at += 1
    length = at
  }
  return length
}
