'use strict';
// The filters of `matrixctl --filter`, as orchestrator/matrix/select.py reads them.
window.matrixctl ??= {};
window.matrixctl.filters = (() => {
  const PARTS = /^\s*([^\s=!<>]+)\s*(!=|<=|>=|=|<|>)\s*(\S(?:.*\S)?)\s*$/;
  const WORD = /^[A-Za-z0-9._+*?[\]!-]+$/;
  const COMPARED = /^([^<>=@]+)(<=|>=|<|>)([^<>=@]+)$/;
  const RANGE = /^(?:([^<>=@]+)@)?([^<>=@]*?)\.\.([^<>=@]*)$/;
  const BEFORE = {dev: -5, alpha: -4, beta: -3, pre: -2, rc: -1};
  const fail = (text) => { throw new RangeError(text); };

  function version(text) {
    const release = text.length <= 64 && /^[0-9]+(?:\.[0-9]+)*/.exec(text);
    if (!release) fail(`${text} is no version`);
    const suffixes = [];
    let rest = text.slice(release[0].length);
    while (rest) {
      const next = /^(?:[-+_.]?([A-Za-z]+)([0-9]*)|[-+_]([0-9]+))/.exec(rest);
      if (!next) fail(`${text} is no version`);
      const word = (next[1] ?? '').toLowerCase();
      suffixes.push([BEFORE[word] ?? 1, word, Number(next[2] || next[3] || 0)]);
      rest = rest.slice(next[0].length);
    }
    const numbers = release[0].split('.').map(Number);
    const short = [...numbers];
    while (short.length > 1 && short.at(-1) === 0) short.pop();
    return {numbers, short, suffixes: [...suffixes, [0, '', 0]]};
  }
  function order(a, b) {
    for (let i = 0; i < Math.max(a.length, b.length); i++) {
      if (i >= a.length) return -1;
      if (i >= b.length) return 1;
      const found = Array.isArray(a[i]) ? order(a[i], b[i]) : a[i] < b[i] ? -1 : a[i] > b[i] ? 1 : 0;
      if (found) return found;
    }
    return 0;
  }
  const compare = (a, b) => order(a.short, b.short) || order(a.suffixes, b.suffixes);
  function within(one, bound) {
    const suffixes = bound.suffixes.slice(0, -1);
    if (!suffixes.length) return bound.numbers.every((number, i) => (one.numbers[i] ?? 0) === number);
    return order(one.short, bound.short) === 0 && order(one.suffixes.slice(0, suffixes.length), suffixes) === 0;
  }
  const atMost = (one, bound) => compare(one, bound) <= 0 || within(one, bound);
  const HOLDS = {
    '<': (one, bound) => compare(one, bound) < 0,
    '<=': atMost,
    '>': (one, bound) => !atMost(one, bound),
    '>=': (one, bound) => compare(one, bound) >= 0,
  };

  function glob(pattern) {
    let out = '';
    for (let i = 0; i < pattern.length; i++) {
      const end = pattern[i] === '[' ? pattern.indexOf(']', i + (pattern[i + 1] === '!' ? 3 : 2)) : -1;
      if (pattern[i] === '*') out += '.*';
      else if (pattern[i] === '?') out += '.';
      else if (end > 0) {
        const set = pattern.slice(i + 1, end).replace(/[\\^[\]]/g, '\\$&').replace(/^!/, '^');
        out += `[${set}]`;
        i = end;
      } else out += pattern[i].replace(/[.+^$()|{}\\[\]]/g, '\\$&');
    }
    try {
      return new RegExp(`^(?:${out})$`, 's');
    } catch {
      return /^(?!)/; // a set such as [b-a] has no member
    }
  }

  function term(text, part) {
    let match = COMPARED.exec(part);
    if (match) return {name: part, family: match[1], bounds: [[match[2], version(match[3].trim())]]};
    match = RANGE.exec(part);
    if (match && (match[2] || match[3])) {
      const bounds = [['>=', match[2]], ['<=', match[3]]].filter(([, end]) => end).map(([op, end]) => [op, version(end.trim())]);
      return {name: part, family: match[1], bounds};
    }
    if (!WORD.test(part)) fail(`${part || 'nothing'} is no name, glob or range`);
    return {name: part};
  }
  function parse(text, axes) {
    const match = PARTS.exec(text);
    if (!match) fail('it is not axis, operator, value');
    const [, axis, op, rest] = match;
    if (!axes.includes(axis)) fail(`no axis ${axis}; axes: ${axes.join(', ')}`);
    const terms = HOLDS[op] ? [{bounds: [[op, version(rest.trim())]]}] : rest.split(',').map((part) => term(text, part.trim()));
    return {axis, negated: op === '!=', terms};
  }
  // `values`: name -> [family, version], each of them or both missing.
  function held(item, one, values) {
    const names = Object.keys(values);
    if (one.name !== undefined && Object.hasOwn(values, one.name)) return [one.name];
    if (one.bounds) {
      const versioned = names.filter((name) => typeof values[name][1] === 'string');
      const families = [...new Set(versioned.map((name) => values[name][0]))];
      if (!versioned.length) fail(`the values of ${item.axis} have no order`);
      if (!one.family && families.length > 1) fail(`${item.axis} has several families: ${families.join(', ')}`);
      if (one.family && !families.includes(one.family)) fail(`no family ${one.family}; families: ${families.join(', ')}`);
      return versioned.filter((name) => {
        if (one.family && values[name][0] !== one.family) return false;
        let own;
        try { own = version(values[name][1]); } catch { return false; }
        return one.bounds.every(([op, bound]) => HOLDS[op](own, bound));
      });
    }
    const fits = glob(one.name);
    const found = names.filter((name) => fits.test(name) || values[name][0] === one.name || values[name][1] === one.name);
    if (!found.length) fail(`no cell has ${item.axis} ${one.name}; values: ${names.join(', ')}`);
    return found;
  }
  // Returns the names of the values of an axis that a filter leaves; throws a RangeError that says why not.
  function names(text, valuesOf) {
    try {
      const item = parse(text, Object.keys(valuesOf));
      const values = valuesOf[item.axis];
      const found = new Set(item.terms.flatMap((one) => held(item, one, values)));
      const left = item.negated ? Object.keys(values).filter((name) => !found.has(name)) : [...found];
      return {axis: item.axis, names: new Set(left)};
    } catch (error) {
      if (error instanceof RangeError) fail(`filter ${text}: ${error.message}`);
      throw error;
    }
  }
  return {names, split: (text) => text.trim().split(/\s+/).filter(Boolean)};
})();
