/** For pools whose workers call the default export, or a named one, of a file. */
export { perform as default, perform } from '../operations.mjs';
