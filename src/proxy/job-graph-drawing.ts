/** Job graphs as text that others draw: Mermaid and Graphviz. */
import { jobRef } from '../job-ref.ts';
import type { Job } from './job.ts';
import type { Edges } from './job-edges.ts';

/** What a drawing shows: boxes by name, and arrows between names. */
interface Sketch {
  readonly boxes: { readonly name: string; readonly label: string; readonly inside: boolean }[];
  readonly arrows: { readonly from: string; readonly to: string; readonly orderOnly: boolean }[];
}

/** Mermaid's flowchart: https://mermaid.js.org/syntax/flowchart.html */
export function drawMermaid(jobs: readonly Job[], edges: Edges): string {
  const { boxes, arrows } = sketch(jobs, edges);
  const lines = ['flowchart LR'];
  for (const { name, label, inside } of boxes) {
    const text = `"${mermaidText(label)}"`;
    lines.push(`  ${name}${inside ? `[${text}]` : `([${text}])`}`);
  }
  for (const { from, to, orderOnly } of arrows) lines.push(`  ${from} ${orderOnly ? '-.->' : '-->'} ${to}`);
  return `${lines.join('\n')}\n`;
}

/** Graphviz: https://graphviz.org/doc/info/lang.html */
export function drawDot(jobs: readonly Job[], edges: Edges): string {
  const { boxes, arrows } = sketch(jobs, edges);
  const lines = ['digraph jobs {', '  rankdir=LR;', '  node [shape=box];'];
  for (const { name, label, inside } of boxes) {
    lines.push(`  ${name} [label="${dotText(label)}"${inside ? '' : ', style=rounded'}];`);
  }
  for (const { from, to, orderOnly } of arrows) {
    lines.push(`  ${from} -> ${to}${orderOnly ? ' [style=dashed]' : ''};`);
  }
  return `${[...lines, '}'].join('\n')}\n`;
}

function sketch(jobs: readonly Job[], edges: Edges): Sketch {
  const boxes: Sketch['boxes'] = jobs.map(({ index, id, name }) => {
    const automatic = id.startsWith(`${name}-`);
    return { name: `job${index}`, label: automatic ? id : `${id} (${name})`, inside: true };
  });
  const arrows: Sketch['arrows'] = [];
  const outside = new Map<string, string>();
  const arrowFromOutside = (key: string, label: string, to: number): void => {
    let name = outside.get(key);
    if (name === undefined) {
      outside.set(key, (name = `outside${outside.size}`));
      boxes.push({ name, label, inside: false });
    }
    arrows.push({ from: name, to: `job${to}`, orderOnly: false });
  };
  edges.graph.each((before, after, edge) => {
    arrows.push({ from: `job${before}`, to: `job${after}`, orderOnly: edges.orderOnly[edge] === true });
  });
  for (const [index, refs] of edges.outside) {
    for (const [key, ref] of refs) arrowFromOutside(`task ${key}`, `task ${ref[jobRef].id}`, index);
  }
  for (const { job, id } of edges.loose) arrowFromOutside(`unknown ${id}`, `unknown job ${id}`, job.index);
  return { boxes, arrows };
}

/**
 * Letters, digits and a few harmless signs stand as they are; everything else as an entity code, so that no label is
 * taken for markup, HTML or a directive.
 */
function mermaidText(label: string): string {
  return label.replace(/[^\p{L}\p{N} _.,()+=@-]/gu, (sign) => `#${sign.codePointAt(0) as number};`);
}

function dotText(label: string): string {
  return label
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('&', '&amp;')
    .replaceAll(/\r\n?|\n/g, '\\n')
    .replaceAll(/\p{Cc}/gu, ' ');
}
