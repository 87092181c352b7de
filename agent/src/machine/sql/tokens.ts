/** A word of SQL, as far as rules about SQL need to know. */
export type Token =
  /** keyword or name, in lower case, without its quotes; a string is one too, since SQLite takes strings for names */
  | { readonly kind: 'word'; readonly word: string; readonly quoted: boolean }
  /** one character: an operator, a parenthesis, a comma */
  | { readonly kind: 'sign'; readonly sign: string }
  /** a number or a parameter */
  | { readonly kind: 'value' }

/** White space as SQLite has it, which is not what JavaScript has; a byte order mark counts. */
const SPACE = /^[ \t\n\f\r\uFEFF]+/
const LINE_COMMENT = /^--[^\n]*/
/** One that does not end reaches to the end of the text. */
const COMMENT = /^\/\*[\s\S]*?(?:\*\/|$)/
const QUOTED = /^(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|\[([^\]]*)\])/
const WORD = /^[A-Za-z_\u0080-\uFFFF][A-Za-z0-9_$\u0080-\uFFFF]*/
const VALUE = /^(?:[0-9][A-Za-z0-9_.]*|[?:@#$][A-Za-z0-9_$:\u0080-\uFFFF]*)/

/**
 * Splits SQL as SQLite's own tokenizer does. Where the two might differ, this one sees more words, and
 * none hides inside what it takes for a string or a comment.
 * @returns null when a quote has no end
 */
export function tokensOf(sql: string): readonly Token[] | null {
  const tokens: Token[] = []
  for (let rest = sql; rest !== ''; ) {
    const skipped = (SPACE.exec(rest) ?? LINE_COMMENT.exec(rest) ?? COMMENT.exec(rest))?.[0]
    if (skipped !== undefined) {
      rest = rest.slice(skipped.length)
      continue
    }
    const found = next(rest)
    if (found === null) return null
    tokens.push(found.token)
    rest = rest.slice(found.length)
  }
  return tokens
}

function next(rest: string): { readonly token: Token; readonly length: number } | null {
  const quoted = QUOTED.exec(rest)
  if (quoted !== null) {
    const [whole, ...inner] = quoted
    const word = inner.find(part => part !== undefined) ?? ''
    const token: Token = { kind: 'word', word: unescaped(word, whole[0] ?? ''), quoted: true }
    return { token, length: whole.length }
  }
  const word = WORD.exec(rest)?.[0]
  if (word !== undefined) {
    return { token: { kind: 'word', word: word.toLowerCase(), quoted: false }, length: word.length }
  }
  const value = VALUE.exec(rest)?.[0]
  if (value !== undefined) return { token: { kind: 'value' }, length: value.length }
  const sign = rest[0] ?? ''
  return `'"\`[`.includes(sign) ? null : { token: { kind: 'sign', sign }, length: 1 }
}

function unescaped(word: string, quote: string): string {
  return word.replaceAll(quote + quote, quote).toLowerCase()
}
