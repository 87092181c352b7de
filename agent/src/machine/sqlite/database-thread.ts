import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'

/** What every thread that opens a database is given. */
export interface DatabaseThreadData {
  readonly file: string
  /** Path of better-sqlite3: the thread's own `require` would look for it from the working directory. */
  readonly driver: string
}

/** @param program its source; it reads `data`, and the driver's path, as `workerData` */
export function startDatabaseThread<Data extends DatabaseThreadData>(
  program: string,
  data: Omit<Data, 'driver'>,
): Worker {
  const driver = createRequire(import.meta.url).resolve('better-sqlite3')
  // The loaders of this process (tests have some) are of no use to it, and slow.
  return new Worker(program, { eval: true, execArgv: [], workerData: { ...data, driver } })
}
