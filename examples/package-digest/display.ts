/**
 * How far a run is, shown on standard error: one line that changes in place on a terminal, a new line now and then
 * anywhere else (CI, a pipe, a file).
 */
import { createLogUpdate } from 'log-update';
import type { RunProgress } from 'quartermaster';

export interface Display {
  show(progress: RunProgress): void;
  /** Ends the display and leaves the cursor as it was. */
  end(): void;
}

/** Plain lines come at so many parts of the whole. */
const PLAIN_STEPS = 5;
/** Width of the bar (characters). */
const BAR = 30;
/** A terminal is drawn on no oftener than this (ms). */
const FRAME = 50;

export function display(stream: NodeJS.WriteStream = process.stderr): Display {
  const onTerminal = stream.isTTY && !process.env['CI'];
  return onTerminal ? lineInPlace(stream) : plainLines(stream);
}

function lineInPlace(stream: NodeJS.WriteStream): Display {
  const draw = createLogUpdate(stream);
  let drawn = -Infinity;
  return {
    show: (progress) => {
      const now = performance.now();
      if (now - drawn < FRAME && progress.done < progress.total) return;
      drawn = now;
      const filled = Math.round((BAR * progress.done) / Math.max(1, progress.total));
      draw(`${'█'.repeat(filled)}${'░'.repeat(BAR - filled)} ${counts(progress)}`);
    },
    end: () => {
      draw.clear();
      draw.done();
    },
  };
}

function plainLines(stream: NodeJS.WriteStream): Display {
  let step = 0;
  return {
    show: (progress) => {
      const reached = Math.floor((PLAIN_STEPS * progress.done) / Math.max(1, progress.total));
      if (reached <= step) return;
      step = reached;
      stream.write(`${counts(progress)}\n`);
    },
    end: () => {},
  };
}

function counts({ total, done, running, failed }: RunProgress): string {
  const trouble = failed === 0 ? '' : `, ${failed} failed`;
  return `${done} of ${total} jobs done, ${running} running${trouble}`;
}
