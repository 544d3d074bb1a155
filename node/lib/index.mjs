// The same names for `import`; both module systems share one instance of the library.
export * from './index.js'
