import { asNodeId, NODE_ID, type NodeId } from '../raft/types.ts'

const SCHEME = 'raft-nginx://'

/** A node of a cluster, as its certificate names it: a URI in the subject's alternative names. */
export function peerName(cluster: string, node: NodeId): string {
  return `${clusterPrefix(cluster)}${node}`
}

/**
 * Whom of this cluster a certificate names; null: nobody, or more than one.
 * @param alternativeNames as Node gives them: `URI:…, DNS:…`
 */
export function nodeNamed(cluster: string, alternativeNames: string | undefined): NodeId | null {
  // Node puts quotes around what holds a comma, so that nothing inside of a name is taken for another name.
  const names = (alternativeNames ?? '')
    .split(', ')
    .filter(name => name.startsWith(`URI:${SCHEME}`))
  const prefix = `URI:${clusterPrefix(cluster)}`
  const [name] = names
  if (name === undefined || names.length > 1 || !name.startsWith(prefix)) return null
  const id = name.slice(prefix.length)
  return NODE_ID.test(id) ? asNodeId(id) : null
}

/** The cluster that a CA of `raft-nginx tls` is for; null: it does not say. */
export function clusterNamed(alternativeNames: string | undefined): string | null {
  const name = /^URI:raft-nginx:\/\/([^/,"]+)\/$/.exec(alternativeNames ?? '')?.[1]
  return name === undefined ? null : decodeURIComponent(name)
}

/** What a CA says of itself. */
export function clusterName(cluster: string): string {
  return clusterPrefix(cluster)
}

function clusterPrefix(cluster: string): string {
  // What a URI leaves unescaped here is also what Node shows without quotes.
  const escaped = encodeURIComponent(cluster).replaceAll(
    /[!'()*]/g,
    character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `${SCHEME}${escaped}/`
}
