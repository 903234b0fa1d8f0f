/** Texts that a terminal may be given, whoever wrote them. */

/** Nothing that a terminal would obey: no escape sequence, no return to the line's start, no change of direction. */
export function escaped(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
  });
}

/** As many characters as there is room for; how long it was where that is not all. */
export function shortened(text: string, room: number): string {
  return text.length > room ? `${text.slice(0, room)} … (${text.length} characters)` : text;
}
