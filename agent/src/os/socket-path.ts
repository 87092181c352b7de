const RELAY_SUFFIX = '.relay'
/** Longest path of a unix socket: sockaddr_un holds 108 bytes, the last of them NUL; Linux cuts off what is longer, silently. */
export const SOCKET_PATH_BYTES_MAX = 107

/** Of the agent's own socket, so that the relay's is beside it. */
export const AGENT_SOCKET_BYTES_MAX = SOCKET_PATH_BYTES_MAX - RELAY_SUFFIX.length

/** Where nginx comes with what is for other nodes. */
export function relayPath(socket: string): string {
  return `${socket}${RELAY_SUFFIX}`
}
