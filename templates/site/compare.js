'use strict';
(() => {
  const data = window.matrixctl.queue.kept.find(([name]) => name === 'compare')[1];
  const form = document.getElementById('controls');
  const found = document.getElementById('found');
  const byId = new Map(data.runs.map((run) => [run.id, run]));
  const loaded = new Map();
  const DIGEST = 12;
  const titles = new Map(data.changes.map(([change, title, meaning, suspects]) => [change, {title, meaning, suspects}]));
  const make = (tag, given = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  window.matrixctl.on('run', (id, told) => {
    const cells = new Map();
    for (const end of told.ends) for (const cell of end.cells) cells.set(cell, end);
    const sets = told.sets.map((set) => set.map((number) => told.things[number]));
    const made = new Map(told.made.map(([cell, shared, own, build]) => [cell, {things: [sets[shared], sets[own]].flat(), build: told.builds[build]}]));
    loaded.set(id, {cells, made, flaky: new Map(told.flaky), parts: told.parts});
    draw();
  });
  function load(id) {
    if (loaded.has(id) || !byId.has(id)) return;
    loaded.set(id, null);
    document.head.append(make('script', {src: byId.get(id).page.replace(/html$/, 'js')}));
  }

  // As orchestrator/analyse/change.py has it.
  const named = (end) => (end.outcome === null ? 'not judged' : end.reason ? `${end.outcome}: ${end.reason}` : end.outcome);
  const failedSo = (was, now) => was.failures.includes(named(now)) || (was.fails && named(was) === named(now));
  const isForgotten = (was, now, alike) => was.flaky && now.alarms && !now.flaky && !alike;
  const isWorse = (was, now) => Boolean(was && now && now.alarms && !failedSo(was, now));
  function classify(was, now, alike) {
    if (!was || !now) return was ? 'vanished-cell' : 'new-cell';
    if (!was.tested || !now.tested) {
      if (was.tested || now.tested) return 'not-judged';
      return was.verdict === 'not-judged' || now.verdict === 'not-judged' ? 'never-judged' : 'unchanged';
    }
    if (isForgotten(was, now, alike)) return 'new-failure';
    if (now.flaky || (was.flaky && (!now.fails || failedSo(was, now)))) return 'flaky';
    if (now.fails) {
      if (was.fails) return was.outcome === now.outcome && was.reason === now.reason ? 'still-failing' : 'changed-reason';
      return now.alarms ? 'new-failure' : 'expected-failure';
    }
    if (now.verdict === 'now-passing') return 'now-passing';
    return was.fails ? 'fixed' : 'unchanged';
  }
  // As compare_cells of orchestrator/analyse/ingredients.py: what differs of that which a cell was made of.
  const NO_CPU = JSON.stringify([['', '']]);
  function fill(things) {
    const slots = new Map();
    for (const [kind, name, version, digest] of things) {
      const slot = kind + '\0' + name;
      slots.set(slot, [...(slots.get(slot) ?? []), [version, digest]]);
    }
    return slots;
  }
  function differ(was, now) {
    if (!was || !now) return null;
    const [one, other] = [fill(was.things), fill(now.things)];
    const cpu = 'cpu\0CPU features';
    if ([one, other].some((slots) => JSON.stringify(slots.get(cpu)) === NO_CPU)) for (const slots of [one, other]) slots.delete(cpu);
    const found = [];
    for (const slot of [...new Set([...one.keys(), ...other.keys()])].sort()) {
      const [before, after] = [one.get(slot) ?? [], other.get(slot) ?? []];
      const without = (list, others) => list.filter((mine) => !others.some((item) => item.join('\0') === mine.join('\0')));
      const [gone, come] = [without(before, after), without(after, before)];
      if (gone.length || come.length) found.push({slot, was: gone, now: come});
    }
    const builtIn = new Set([...was.things, ...now.things].filter((thing) => thing[4]).map(([kind, name]) => kind + '\0' + name));
    if (was.build && now.build && was.build !== now.build && !found.some(({slot}) => builtIn.has(slot)))
      found.push({slot: 'build\0the build of HAProxy', was: [['', was.build]], now: [['', now.build]]});
    return found.map(tell);
  }
  function tell({slot, was, now}) {
    const digests = (list) => list.map(([, digest]) => digest).filter(Boolean).join(', ').slice(0, DIGEST);
    const versions = (list) => (list.length ? [...new Set(list.map(([version]) => version).filter(Boolean))].join(', ') || digests(list) : 'none');
    const sides = versions(was) === versions(now) ? [digests(was), digests(now)] : [versions(was), versions(now)];
    return {key: JSON.stringify([slot, was, now]), text: `${slot.split('\0')[1]}: ${sides[0]} → ${sides[1]}`};
  }
  // As orchestrator/analyse/moves.py has it: a cell that vanished and the one that came, where each is the one that fits the other.
  function moves(base, head) {
    const [ARCH, HAPROXY, HVERSION, TLS, TVERSION] = [2, 3, 4, 5, 7];
    const axes = [[HAPROXY, HVERSION], [TLS, TVERSION]];
    const key = (cell, own) => own[1] + '\0' + data.cells[cell].slice(ARCH).map((value, i) => (own.includes(i + ARCH) ? '' : value)).join('\0');
    const near = new Map();
    const note = (map, name, value) => map.set(name, [...(map.get(name) ?? []), value]);
    for (const cell of head.cells.keys()) if (!base.cells.has(cell)) for (const own of axes) note(near, key(cell, own), cell);
    const [fits, wanted] = [new Map(), new Map()];
    for (const cell of base.cells.keys()) {
      if (head.cells.has(cell)) continue;
      for (const own of axes) {
        for (const other of near.get(key(cell, own)) ?? []) {
          if (data.cells[other][own[1]] === data.cells[cell][own[1]]) continue;
          note(fits, cell, other);
          note(wanted, other, cell);
        }
      }
    }
    const single = [...fits].filter(([, others]) => others.length === 1 && wanted.get(others[0]).length === 1);
    return new Map(single.map(([cell, [other]]) => [other, cell]));
  }
  function stateOf(end) {
    const unsure = end.outcome === null || (end.outcome === 'pass' && end.verdict === 'not-judged');
    return unsure ? 'not-judged' : end.outcome;
  }
  function glyph(end) {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    const state = stateOf(end);
    svg.setAttribute('class', `g ${state} v-${end.verdict}`);
    svg.setAttribute('aria-hidden', 'true');
    const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
    use.setAttribute('href', '#g-' + state);
    svg.append(use);
    return svg;
  }
  const words = (end) => (end ? named(end) : 'no such cell');
  function draw() {
    const [base, head] = [loaded.get(baseBox.value), loaded.get(headBox.value)];
    if (!base || !head) return;
    const moved = moves(base, head);
    const old = new Set(moved.values());
    const groups = new Map();
    const add = (cell, was, now, from) => {
      const differences = was && now ? differ(base.made.get(from ?? cell), head.made.get(cell)) : null;
      const flaky = isWorse(base.cells.get(cell), now) ? head.flaky.get(cell) : undefined;
      const change = flaky ? 'flaky' : classify(was, now, !(was?.failed && differences?.length));
      const {alarm, verdict, outcome, reason} = now ?? was;
      const kind = JSON.stringify([alarm, verdict, outcome, reason]);
      if (!groups.has(change)) groups.set(change, new Map());
      const kinds = groups.get(change);
      if (!kinds.has(kind)) kinds.set(kind, []);
      kinds.get(kind).push({cell, was, now, from, differences, flaky});
    };
    for (const [cell, now] of head.cells) add(cell, base.cells.get(moved.get(cell) ?? cell), now, moved.get(cell));
    for (const [cell, was] of base.cells) if (!head.cells.has(cell) && !old.has(cell)) add(cell, was, null);
    const out = [make('h2', {}, 'What became of the cells')];
    const told = data.changes.filter(([change]) => change !== 'unchanged').flatMap(([change]) => [...(groups.get(change)?.values() ?? [])].map((items) => [change, items]));
    for (const [change, items] of told) {
      const list = items.map(({cell, was, now, from, flaky}) => {
        const line = make('li', {}, glyph(now ?? was), ' ', make('a', {href: data.cells[cell][1]}, data.cells[cell][0]));
        line.append(make('span', {}, `${words(was)} → ${words(now)}`));
        if (from !== undefined) line.append(make('span', {}, `, was ${data.cells[from][0]}`));
        if (flaky) line.append(' ', make('b', {}, `${flaky}.`));
        return line;
      });
      const {now, was} = items[0];
      const title = titles.get(change).title + (now?.reason ? `: ${now.reason}` : '');
      const look = now ? `group ${stateOf(now)} v-${now.verdict}` : 'group';
      const box = make('section', {class: look}, make('h3', {}, glyph(now ?? was), make('span', {}, title), make('b', {class: 'count'}, ` ${items.length}`)), make('p', {}, titles.get(change).meaning + '.', ...blame(change, items)));
      if (items.length > 12) box.append(make('details', {}, make('summary', {}, 'Which'), make('ul', {class: 'members'}, ...list)));
      else box.append(make('ul', {class: 'members'}, ...list));
      out.push(box);
    }
    const same = [...(groups.get('unchanged')?.values() ?? [])].flat().length;
    if (out.length === 1) out.push(make('p', {class: 'intro'}, 'Each cell ended as in the other run.'));
    else out.push(make('p', {class: 'hint'}, `${same} cells are unchanged.`));
    out.push(make('h2', {}, 'What else changed'), parts(base.parts, head.parts));
    found.replaceChildren(...out);
  }
  // What changed for each of the cells, and whether it is the one thing that did.
  function blame(change, items) {
    const known = items.map((item) => item.differences);
    if (change === 'still-failing' || known.includes(null)) return [];
    const common = known[0].filter(({key}) => known.every((list) => list.some((one) => one.key === key)));
    const suspects = titles.get(change).suspects && known.every((list) => list.length === 1) && common.length === 1;
    const depend = items.length === 1 ? 'it depends' : 'they depend';
    if (suspects) return [' ', make('b', {class: 'suspect'}, `Suspect: ${common[0].text}`), `, the one thing that changed of what ${depend} on.`];
    if (!common.length) return [];
    const more = common.length > 3 ? ` and ${common.length - 3} more` : '';
    return [` Changed of what ${depend} on: ${common.slice(0, 3).map(({text}) => text).join('; ')}${more}.`];
  }
  function parts(base, head) {
    const told = (list) => new Set(list.map((part) => part.join('\0')));
    const [was, now] = [told(base), told(head)];
    const lines = new Map();
    const note = (list, other, side) => {
      for (const part of list) {
        if (other.has(part.join('\0'))) continue;
        const [kind, name, version, digest] = part;
        const key = kind + '\0' + name;
        if (!lines.has(key)) lines.set(key, [kind, name, [], []]);
        lines.get(key)[side].push([version, digest.replace('sha256:', '').slice(0, 12)].filter(Boolean).join(' '));
      }
    };
    note(base, now, 2);
    note(head, was, 3);
    if (!lines.size) return make('p', {class: 'intro'}, 'No source, package, image or emulator.');
    const rows = [...lines.values()].sort().map(([kind, name, one, other]) => make('tr', {}, make('td', {}, kind), make('th', {scope: 'row'}, name), make('td', {'data-name': 'was'}, one.join(', ') || '–'), make('td', {'data-name': 'is'}, other.join(', ') || '–')));
    const head_ = make('tr', {}, ...['kind', 'what', 'was', 'is'].map((name) => make('th', {scope: 'col'}, name)));
    return make('div', {class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'What else changed'}, make('table', {class: 'list changed stack'}, make('thead', {}, head_), make('tbody', {}, ...rows)));
  }
  function choose(name) {
    const box = make('select', {});
    for (const run of [...data.runs].reverse()) box.append(new Option(`${run.day}  ${run.id}`, run.id));
    box.addEventListener('change', () => {
      history.replaceState(null, '', '#' + new URLSearchParams({base: baseBox.value, head: headBox.value}));
      go();
    });
    form.append(make('label', {}, name, box));
    return box;
  }
  function go() {
    load(baseBox.value);
    load(headBox.value);
    draw();
  }
  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const ids = data.runs.map((run) => run.id);
    const pick = (name, fallback) => (byId.has(given.get(name)) ? given.get(name) : fallback);
    baseBox.value = pick('base', ids.at(-2) ?? ids[0]);
    headBox.value = pick('head', ids.at(-1));
    go();
  }
  const baseBox = choose('base');
  const headBox = choose('head');
  form.hidden = false;
  addEventListener('hashchange', read);
  read();
})();
