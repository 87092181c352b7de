/**
 * The names of keys that may be shown, each once, cut after the first `separator` behind a prefix: what the machine does
 * for all of them.
 * @param keys in order, whole
 */
export function readableNames(
  keys: readonly Uint8Array[],
  readable: (key: Uint8Array) => boolean,
  { prefix, separator }: { readonly prefix: Uint8Array; readonly separator: Uint8Array },
): readonly Uint8Array[] {
  const names: Uint8Array[] = []
  for (const key of keys) {
    if (!readable(key)) continue
    const name = cutAfter(key, prefix.length, separator)
    const last = names.at(-1)
    if (last === undefined || Buffer.compare(last, name) !== 0) names.push(name)
  }
  return names
}

function cutAfter(key: Uint8Array, from: number, separator: Uint8Array): Uint8Array {
  if (separator.length === 0) return key
  const at = Buffer.from(key.buffer, key.byteOffset, key.byteLength).indexOf(separator, from)
  return at === -1 ? key : key.subarray(0, at + separator.length)
}
