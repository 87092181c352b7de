/** The part of njs's request that the handlers use; njs-types itself contradicts Node's types, which tests need. */
interface NginxHTTPRequest {
  readonly headersOut: Record<string, string>
  readonly variables: Record<string, string | undefined>
  subrequest(uri: string): Promise<{ status: number; responseText?: string }>
  internalRedirect(uri: string): void
  return(status: number, body?: string): void
}

/** nginx's own object. */
declare const ngx: { readonly shared?: Readonly<Record<string, unknown>> }
