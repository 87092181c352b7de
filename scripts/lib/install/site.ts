/** The one line that an operator's server gets, and loses again. Pure. */

const MARK = '# raft-nginx'
const LINE = `    include snippets/raft-nginx/server.conf; ${MARK}`

/**
 * With the line at the head of the first `server` block.
 * @throws Error where there is none
 */
export function withInclude(text: string): string {
  if (hasInclude(text)) return text
  // a block's head at the beginning of a line: not in a comment, nor `server_name`
  const head = /^[ \t]*server[ \t\r\n]*\{[^\n]*\n/m.exec(text)
  if (head === null) throw new Error('no "server {" begins a line there')
  const end = head.index + head[0].length
  return `${text.slice(0, end)}${LINE}\n${text.slice(end)}`
}

export function withoutInclude(text: string): string {
  return text
    .split('\n')
    .filter(line => line !== LINE)
    .join('\n')
}

/** Whether it has the very line of an installation. */
export function isMarked(text: string): boolean {
  return withoutInclude(text) !== text
}

/** Whether it is there, ours or the operator's own. */
export function hasInclude(text: string): boolean {
  return /^[^#\n]*include[ \t]+["']?[^;\n]*snippets\/raft-nginx\/server\.conf/m.test(text)
}
