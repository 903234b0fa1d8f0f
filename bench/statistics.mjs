/** Numbers about numbers. */

/**
 * @param {readonly number[]} values
 * @returns {number}
 */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The value that a share `q` of all lies below, as the limit programs take it.
 *
 * @param {ArrayLike<number>} values
 * @param {number} q
 * @returns {number}
 */
export function quantile(values, q) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

/**
 * Between which values the median of what the values are drawn from lies, with about 99%: the order alone says so, whatever
 * their distribution. NaN where there are too few of them for that.
 *
 * @param {readonly number[]} values
 * @returns {[low: number, high: number]}
 */
export function interval(values) {
  const n = values.length;
  const sorted = [...values].sort((a, b) => a - b);
  // The median lies outside as seldom as n coins show at most `outside` heads, or at most as many tails.
  let outside = -1;
  let likelihood = 0;
  for (let k = 0, term = 2 * 0.5 ** n; likelihood + term <= 0.0125; k++) {
    likelihood += term;
    outside = k;
    term = (term * (n - k)) / (k + 1);
  }
  return outside < 0 ? [NaN, NaN] : [sorted[outside], sorted[n - 1 - outside]];
}
