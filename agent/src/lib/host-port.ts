/** Where to listen or whom to dial. */
export interface HostPort {
  /** Empty: all interfaces, only to listen. */
  readonly host: string
  readonly port: number
}

/** Reads `host:port`, `[::1]:port` and, to listen, `:port`; null when the text is none of them. */
export function parseHostPort(text: string): HostPort | null {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):([0-9]{1,5})$/.exec(text)
  if (match === null) return null
  const port = Number(match[3])
  return port > 65535 ? null : { host: match[1] ?? match[2] ?? '', port }
}
