/** From this version on checksums of the pages stand beside the file, and behind the pages of a copy. */
export const SCHEMA_VERSION = 4
/** Has the same tables, and no such checksums. */
export const UNSEALED_VERSION = 3
