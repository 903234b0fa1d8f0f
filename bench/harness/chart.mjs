/** The chart of a workload: its tables as bars, drawn by Apache ECharts into an SVG, without a browser. */
import { median } from '../statistics.mjs';
import { inUnit } from './target.mjs';

/**
 * @typedef {import('./report.mjs').Run} Run
 * @typedef {import('./report.mjs').Section} Section
 */

const WIDTH = 840;
const BAR = 15;
const COLOURS = ['#2f6fb0', '#8fbce6', '#e0a458', '#7a8b99', '#4f9d69'];

/**
 * What is to be drawn, as the library's own option; undefined where there is nothing to draw.
 *
 * @param {Run} run
 * @param {Section} section
 */
export function drawing({ machine, made }, { tables, chart }) {
  if (chart === undefined) return undefined;
  const { title, key, unit } = chart;
  const bars = tables.map(({ caption, results }) => {
    const measured = results.filter(({ rounds }) => rounds.some((figures) => Number.isFinite(figures[key])));
    const middles = measured.map(
      ({ label, rounds }) => /** @type {const} */ ([label, median(rounds.map((one) => one[key]))]),
    );
    return { caption, middles: new Map(middles) };
  });
  const labels = [...new Set(bars.flatMap(({ middles }) => [...middles.keys()]))];
  if (labels.length === 0) return undefined;
  const height = 130 + labels.length * (bars.length * BAR + 14);
  const text = { fontFamily: 'sans-serif', color: '#24292f' };
  const option = {
    animation: false,
    backgroundColor: '#ffffff',
    color: COLOURS,
    title: {
      text: title,
      subtext: `${machine.cpu}, ${machine.cores} cores, Node.js ${machine.node}, ${made}; medians`,
      left: 8,
      top: 6,
      textStyle: { ...text, fontSize: 15 },
      subtextStyle: { ...text, color: '#57606a', fontSize: 11 },
    },
    legend: { show: bars.length > 1, left: 8, top: 52, itemGap: 24, textStyle: text },
    // Wide enough for fonts other than the one that the library takes as given.
    grid: { left: 48, right: 96, top: 82, bottom: 10, containLabel: true },
    xAxis: {
      type: 'value',
      splitNumber: 4,
      axisLabel: { ...text, formatter: (/** @type {number} */ value) => inUnit(value, unit) },
    },
    yAxis: {
      type: 'category',
      data: labels,
      inverse: true,
      axisTick: { show: false },
      axisLabel: { ...text, fontSize: 12 },
    },
    series: bars.map(({ caption, middles }) => ({
      name: caption,
      type: 'bar',
      barWidth: BAR - 3,
      // The tooltip and the hover of a browser have no use in a file.
      silent: true,
      data: labels.map((label) => middles.get(label) ?? null),
      label: {
        ...text,
        show: true,
        position: 'right',
        fontSize: 11,
        formatter: (/** @type {{ value: number }} */ { value }) => inUnit(value, unit),
      },
    })),
  };
  return { width: WIDTH, height, option };
}

/**
 * @param {Run} run
 * @param {Section} section
 * @returns {Promise<string | undefined>} an SVG file
 */
export async function toSvg(run, section) {
  const what = drawing(run, section);
  if (what === undefined) return undefined;
  const { draw } = await import('../peers/draw.mjs');
  return draw(what);
}
