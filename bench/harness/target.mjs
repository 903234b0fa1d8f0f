/** What a figure should be, and whether it is. */

/**
 * @typedef {'ratio' | 'perSecond' | 'mbPerSecond' | 'µs' | 'ms' | 'bytes'} Unit
 *
 * @typedef {object} Bound
 * @property {Unit} unit
 * @property {number} [atLeast] or `atMost`
 * @property {number} [atMost]
 * @property {number} [aim] better than that, and wanted
 * @property {boolean} [more] more is better, where only an aim says what is wanted
 * @property {number} [floor] worse than that, and for now enough
 *
 * @typedef {Bound & { what: string, value: number }} Target
 */

/**
 * `value` NaN: could not be measured here.
 *
 * @param {string} what
 * @param {number} value
 * @param {Bound} bound
 * @returns {Target}
 */
export function target(what, value, bound) {
  return { what, value, ...bound };
}

/** @param {Target} target */
export function verdict(target) {
  const { value, atLeast, atMost, aim, floor, more = atLeast !== undefined } = target;
  if (Number.isNaN(value)) return 'not measured';
  if (atLeast === undefined && atMost === undefined && aim === undefined) return 'no target';
  const must = atLeast ?? atMost;
  const missed = must === undefined ? 0 : shortfall(value, must, more);
  if (missed > 0) {
    const above = floor !== undefined && shortfall(value, floor, more) <= 0 ? ', above the floor' : '';
    return `missed by ${percent(missed)}${above}`;
  }
  const unaimed = aim === undefined ? 0 : shortfall(value, aim, more);
  const met = must === undefined ? 'aim met' : 'met';
  return unaimed > 0 ? `${must === undefined ? '' : 'met, '}aim missed by ${percent(unaimed)}` : met;
}

/** @param {Target} target */
export function wanted({ unit, atLeast, atMost, aim, floor, more = atLeast !== undefined }) {
  const sign = more ? '≥' : '≤';
  const must = atLeast ?? atMost;
  const parts = must === undefined ? [] : [`${sign} ${inUnit(must, unit)}`];
  if (floor !== undefined) parts.push(`floor ${inUnit(floor, unit)}`);
  if (aim !== undefined) parts.push(`aim ${sign} ${inUnit(aim, unit)}`);
  return parts.length === 0 ? '–' : parts.join(', ');
}

/**
 * @param {number} value
 * @param {Unit} unit
 */
export function inUnit(value, unit) {
  if (Number.isNaN(value)) return '–';
  switch (unit) {
    case 'ratio':
      return String(Number(value.toFixed(2)));
    case 'perSecond':
      return `${whole(value)}/s`;
    case 'mbPerSecond':
      return `${whole(value)} MB/s`;
    case 'bytes':
      return `${whole(value)} B`;
    default:
      return `${Number(value.toPrecision(value < 1000 ? 3 : 4)).toLocaleString('en-US')} ${unit}`;
  }
}

/** @param {number} value */
function whole(value) {
  return Math.round(value).toLocaleString('en-US');
}

/**
 * By what share of `bound` it is missed; zero or less: it is not.
 *
 * @param {number} value
 * @param {number} bound
 * @param {boolean} more whether more is better
 */
function shortfall(value, bound, more) {
  return (more ? bound - value : value - bound) / bound;
}

/** @param {number} share */
function percent(share) {
  return share < 0.005 ? 'less than 1%' : `${Math.round(share * 100)}%`;
}
