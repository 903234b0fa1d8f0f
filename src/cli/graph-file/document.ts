/**
 * The text of a graph file as data, and where in the text each part of it stands. JSON is read as YAML, which it is a
 * part of, so both have positions.
 */
import { readFileSync } from 'node:fs';
import {
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import { CommandError } from '../command-error.ts';

/** Steps from the top of the document to a part of it. */
export type Place = readonly (string | number)[];

/** How many references to anchors a file may be resolved to: what comes from outside must not grow without bound. */
const MOST_ALIASES = 1_000;

/** Where the library's words say nothing to those who do not know YAML by heart. */
const colon = "a text with ': ' in it must be quoted as a whole, or stand on the lines below 'run: |'";
const expression = "'${{ … }}' within { } or [ ] must be quoted";

/** A file that was read, and what is wrong with it. */
export class SourceDocument {
  /** As it was named on the command line. */
  readonly file: string;
  readonly value: unknown;
  readonly #text: string;
  readonly #root: unknown;
  readonly #lines: LineCounter;
  readonly #problems: { readonly at: number; readonly text: string }[] = [];

  /** @throws CommandError where the text is neither YAML nor JSON */
  constructor(file: string, text: string) {
    this.file = file;
    this.#text = text;
    this.#lines = new LineCounter();
    if (file.endsWith('.json')) this.#refuseOtherThanJson();
    const document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: 'error',
    });
    this.#root = document.contents;
    // One mistake makes others out of what stands behind it.
    const [mistake] = document.errors;
    if (mistake !== undefined) this.#add(mistake.pos[0], this.#hint(mistake));
    // Our own, because the library's looks at all keys for each.
    visit(document, { Map: (_, map) => this.#noteRepeatedKeys(map) });
    this.throwProblems();
    try {
      this.value = document.toJS({ maxAliasCount: MOST_ALIASES }) as unknown;
    } catch (error) {
      this.#add(0, (error as Error).message);
    }
    this.throwProblems();
  }

  /** @throws CommandError where the file cannot be read or parsed */
  static read(file: string): SourceDocument {
    let text;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') throw new CommandError(`there is no file ${file}: name the graph file to run`);
      throw new CommandError(`${file} cannot be read (${code ?? String(error)}): see to its kind and permissions`);
    }
    return new SourceDocument(file, text.replace(/^\uFEFF/, ''));
  }

  /** Notes what is wrong with a value; of a text, `within` says with which part of it. */
  problem(place: Place, text: string, within?: string): void {
    const node = this.#node(place);
    const range = node?.range;
    if (range === undefined || range === null) {
      this.#add(place.length === 0 ? 0 : this.#offset(place.slice(0, -1)), text);
      return;
    }
    const inside = within === undefined ? -1 : this.#text.slice(range[0], range[2]).indexOf(within);
    this.#add(range[0] + Math.max(0, inside), text);
  }

  /** Notes what is wrong with the name of a value. */
  problemWithKey(place: Place, text: string): void {
    this.#add(this.#keyOffset(place), text);
  }

  get hasProblems(): boolean {
    return this.#problems.length > 0;
  }

  /** @throws CommandError with all that was noted, in the order of the text: `file:line:column: what` */
  throwProblems(): void {
    if (this.#problems.length === 0) return;
    const lines = this.#problems
      .toSorted((a, b) => a.at - b.at)
      .map(({ at, text }) => {
        const { line, col } = this.#lines.linePos(at);
        return `${this.file}:${line || 1}:${col || 1}: ${text.replaceAll(/\s*\n\s*/g, ' ')}`;
      });
    throw new CommandError([...new Set(lines)]);
  }

  #hint({ code, message, pos }: YAMLError): string {
    if (this.#text.startsWith('${{', pos[0] - 1)) return expression;
    return code === 'BLOCK_AS_IMPLICIT_KEY' ? colon : message;
  }

  /** What is no JSON may be YAML all the same, and would be told as such. */
  #refuseOtherThanJson(): void {
    try {
      JSON.parse(this.#text);
    } catch (error) {
      const { message } = error as Error;
      const at = /at position (\d+)/.exec(message)?.[1];
      for (const { index } of this.#text.matchAll(/^/gm)) this.#lines.addNewLine(index);
      const why = message.replace(/ in JSON.*| at position.*|, \.*".*/s, '');
      this.#add(at === undefined ? this.#text.length : Number(at), `this is not JSON: ${why}`);
      this.throwProblems();
    }
  }

  #noteRepeatedKeys({ items }: YAMLMap): void {
    const seen = new Set<unknown>();
    for (const { key } of items) {
      if (!isScalar(key)) continue;
      if (seen.has(key.value)) this.#add(key.range?.[0] ?? 0, `'${String(key.value)}' is there twice: keep one`);
      seen.add(key.value);
    }
  }

  #add(at: number, text: string): void {
    this.#problems.push({ at, text });
  }

  #offset(place: Place): number {
    return place.length === 0 ? (this.#node([])?.range?.[0] ?? 0) : this.#keyOffset(place);
  }

  #keyOffset(place: Place): number {
    const around = this.#node(place.slice(0, -1));
    const last = place.at(-1);
    if (isMap(around)) {
      const pair = around.items.find(({ key }) => isScalar(key) && String(key.value) === String(last));
      if (pair !== undefined && isNode(pair.key)) return pair.key.range?.[0] ?? 0;
    }
    return this.#node(place)?.range?.[0] ?? around?.range?.[0] ?? 0;
  }

  #node(place: Place): Node | undefined {
    let node: unknown = this.#root;
    for (const step of place) {
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
        node = isPair(pair) ? pair.value : undefined;
      } else if (isSeq(node)) {
        node = node.items[Number(step)];
      } else {
        return undefined;
      }
    }
    return isNode(node) ? node : undefined;
  }
}
