// A planted fault: an agent that loads this first never waits for its disk when it writes its log.
const fs = require('node:fs')

const { open } = fs
fs.open = (path, flags, ...rest) => {
  const forgetful = typeof flags === 'number' ? flags & ~fs.constants.O_DSYNC : flags
  return open(path, forgetful, ...rest)
}
