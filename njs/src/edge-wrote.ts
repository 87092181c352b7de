/**
 * A bundle of its own: the njs engine runs the top level of a bundle for every write that is forwarded, so it has only
 * what that needs.
 */

import { wrote } from './wrote.ts'

export default { wrote }
