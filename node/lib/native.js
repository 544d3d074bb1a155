'use strict'
// Loads the native module: the one that lies beside the package's files.

const path = require('node:path')

const file = `libmq.${process.platform}-${process.arch}.node`

try {
  module.exports = require(path.join(__dirname, '..', file))
} catch (cause) {
  const hint =
    cause.code === 'MODULE_NOT_FOUND'
      ? `this package has no binary for ${process.platform}-${process.arch}; build one with node/build.sh of the sources`
      : 'it needs glibc 2.34 or newer'
  throw new Error(`@libmq/client cannot load ${file}: ${hint}`, { cause })
}
