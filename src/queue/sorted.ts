/** Arrays that are kept in order: what comes first is read from the front, and a place is found by halving. */

/** Puts `item` where it belongs. */
export function put<T>(list: T[], item: T, before: (a: T, b: T) => boolean): void {
  let low = 0;
  let high = list.length;
  if (high === 0 || before(list[high - 1] as T, item)) {
    list.push(item);
    return;
  }
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(list[middle] as T, item)) low = middle + 1;
    else high = middle;
  }
  list.splice(low, 0, item);
}

/** Takes `item` out. The order must be the one in which it was put. */
export function take<T>(list: T[], item: T, before: (a: T, b: T) => boolean): void {
  if (list[0] === item) {
    list.shift();
    return;
  }
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(list[middle] as T, item)) low = middle + 1;
    else high = middle;
  }
  // A policy of the user's may contradict itself: then it is searched for.
  const at = list[low] === item ? low : list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
}
