/** Draws a chart into an SVG file: decision 0019 says why by Apache ECharts. */
import { init } from 'echarts';

/**
 * @param {{ width: number, height: number, option: object }} drawing
 * @returns {string}
 */
export function draw({ width, height, option }) {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption(option);
    const svg = /** @type {string} */ (chart.renderToSVGString());
    // What only a page with a pointer could use.
    return `${svg.replace(/<style\b[\s\S]*?<\/style>\n?/g, '').replace(/ (?:class|ecmeta_\w+|pointer-events)="[^"]*"/g, '')}\n`;
  } finally {
    chart.dispose();
  }
}
