const SUFFIX = '.relay'
/** Longest path of a unix socket on Linux, its final NUL not counted. */
const SOCKET_BYTES_MAX = 107

/** Of the agent's own socket, so that the relay's is beside it. */
export const AGENT_SOCKET_BYTES_MAX = SOCKET_BYTES_MAX - SUFFIX.length

/** Where nginx comes with what is for other nodes. */
export function relayPath(socket: string): string {
  return `${socket}${SUFFIX}`
}
