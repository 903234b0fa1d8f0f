/** Handlers that give one wrong result among many right ones. */
export default { noop: ({ i }) => (i === 700 ? i : i + 1) };
