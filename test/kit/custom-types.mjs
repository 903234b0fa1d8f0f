/** Types that tests register with their managers: as a module for a manager process, or by hand for an embedded one. */

export class Ledger {
  constructor(owner = 'nobody', entries = []) {
    this.owner = owner;
    this.entries = entries;
  }
  book(amount, note) {
    if (typeof amount !== 'number') throw new TypeError('an amount is a number');
    this.entries.push({ amount, note });
    return this.balance();
  }
  balance() {
    return this.entries.reduce((sum, { amount }) => sum + amount, 0);
  }
  echo(...values) {
    return values;
  }
  function() {
    return () => {};
  }
  fail() {
    throw Object.assign(new RangeError('overdrawn', { cause: new Error('the cause') }), { code: 'E_OVERDRAWN' });
  }
  _hidden() {
    return 'hidden';
  }
  #secret() {
    return 'secret';
  }
  get tip() {
    return this.#secret();
  }
  // oxlint-disable-next-line unicorn/no-thenable -- what a user's class may have
  then(resolve) {
    resolve('thenable');
  }
}

export class Account extends Ledger {
  /** Inherits book() and the rest. */
  interest(rate) {
    return this.balance() * rate;
  }
  branch() {
    return new Branch(`${this.owner}'s branch`);
  }
  nothing() {
    return null;
  }
}

class Branch {
  #balance = 0;
  constructor(owner) {
    this.owner = owner;
  }
  book(amount) {
    return (this.#balance += amount);
  }
}

/** Whose methods await: each must have the object for itself until it settles. */
export class Slow {
  inside = 0;
  most = 0;
  entered = 0;
  total = 0;
  async step(by = 1) {
    this.entered++;
    this.most = Math.max(this.most, ++this.inside);
    const before = this.total;
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    this.total = before + by;
    this.inside--;
    return this.total;
  }
  async fail() {
    this.inside++;
    await new Promise((resolve) => setImmediate(resolve));
    this.inside--;
    throw new Error('after a while');
  }
  /** Stays inside until somebody calls let() of the same process's gate. */
  async stay(name) {
    await new Promise((resolve) => gates.set(name, resolve));
    return name;
  }
}

/** Returns objects that live as long as itself. */
class Keeper {
  #inner = new Slow();
  #count = 0;
  inner() {
    return this.#inner;
  }
  self() {
    return this;
  }
  count() {
    return ++this.#count;
  }
}

/** Keeps whatever it is given. */
class Box {
  #content;
  constructor(content) {
    this.#content = content;
  }
  put(content) {
    this.#content = content;
  }
  look() {
    return this.#content;
  }
}

/** Opens what Slow.stay() waits at; a type of its own, because a Slow that stays is busy. */
export class Gatekeeper {
  waiting(name) {
    return gates.has(name);
  }
  open(name) {
    gates.get(name)?.();
    return gates.delete(name);
  }
}
const gates = new Map();

/** Generators of all kinds, and what has become of them. */
export class Rows {
  #stats = { started: 0, pulled: 0, returned: 0 };
  stats() {
    return this.#stats;
  }
  *count(to = Infinity) {
    this.#stats.started++;
    try {
      for (let i = 0; i < to; i++) {
        this.#stats.pulled++;
        yield i;
      }
    } finally {
      this.#stats.returned++;
    }
  }
  async *slowly(to = Infinity) {
    this.#stats.started++;
    try {
      for (let i = 0; i < to; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        this.#stats.pulled++;
        yield i;
      }
    } finally {
      await new Promise((resolve) => setImmediate(resolve));
      this.#stats.returned++;
    }
  }
  *failing(after) {
    yield* this.count(after);
    throw Object.assign(new RangeError('no more rows', { cause: new Error('the cause') }), { code: 'E_ROWS' });
  }
  async *failingSlowly(after) {
    yield* this.failing(after);
  }
  *unserializable() {
    try {
      yield 1;
      yield { callback: () => {} };
    } finally {
      this.#stats.returned++;
    }
  }
  values() {
    return new Map([['a', 1], ['b', 2]]).values(); // prettier-ignore
  }
  async later(to) {
    await new Promise((resolve) => setImmediate(resolve));
    return this.count(to);
  }
  list() {
    return [1, 2, 3];
  }
  large(count, bytes) {
    return Array.from({ length: count }, (_, i) => Buffer.alloc(bytes, i)).values();
  }
  *branches(count) {
    for (let i = 0; i < count; i++) yield new Branch(`branch ${i}`);
  }
  /** Its first step waits at the gate of that name. */
  async *stay(name) {
    try {
      await new Promise((resolve) => gates.set(name, resolve));
      yield name;
    } finally {
      this.#stats.returned++;
    }
  }
  /** No generator: an iterator made by hand, whose return() ends a step that waits. */
  byHand(name) {
    let end;
    return {
      next: () =>
        new Promise((resolve) => gates.set(name, () => resolve({ done: false, value: name }), (end = resolve))),
      return: () => {
        this.#stats.returned++;
        end?.({ done: true });
        return {};
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
  wrong() {
    return { next: () => 5, [Symbol.iterator]: () => this };
  }
}

export default function register(manager) {
  manager.register('Ledger', Ledger, { methods: ['book', 'balance', 'echo', 'function', 'fail'] });
  manager.register('Account', Account, {
    returnsProxy: ['branch', 'nothing'],
    methods: ['book', 'balance', 'interest', 'branch', 'nothing', 'echo'],
  });
  manager.register('Open', (...args) => new Ledger(...args));
  manager.register('Slow', Slow);
  manager.register('Gatekeeper', Gatekeeper);
  manager.register('Keeper', Keeper, { returnsProxy: ['inner', 'self'] });
  manager.register('Box', Box);
  manager.register('Rows', Rows, { returnsProxy: ['branches'] });
  manager.register('Broken', () => 5);
  manager.register('Refusing', () => {
    throw new RangeError('not today');
  });
}
