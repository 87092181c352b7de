/** What the node says about itself; pino's shape. Never called on the path of a single request. */
export interface Logger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
