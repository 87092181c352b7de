/** Bad input, as a value: it is answered at the edge and never reaches the node. */
export interface Refusal {
  readonly kind: 'refusal'
  readonly status: number
  /** For programs; stable. */
  readonly code: string
  /** For people; never repeats what the client sent. */
  readonly detail: string
  /** Methods of the resource, with a 405. */
  readonly allow?: string
  /** With a 401: a token is asked for. */
  readonly challenge?: boolean
}

export function refuse(status: number, code: string, detail: string): Refusal {
  return { kind: 'refusal', status, code, detail }
}

export function isRefusal(value: object): value is Refusal {
  return (value as { readonly kind?: unknown }).kind === 'refusal'
}
