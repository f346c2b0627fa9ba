'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const axes = Object.keys(data.axes);
  const anchor = (id) => 'c-' + id.replace(/[^A-Za-z0-9._-]/gu, '_');
  const cells = data.cells.map(([build, rest, whole, at, state, verdict, reason, qemu, share, ...drawn]) => {
    const name = whole ? data.builds[build] + rest : rest;
    return {
      name, id: anchor(name), build, at, qemu, share, drawn, on: true,
      state: data.states[state], verdict: data.verdicts[verdict], reason: data.reasons[reason],
      severity: verdict * data.states.length + state, panel: null,
    };
  });
  const byId = new Map(cells.map((cell) => [cell.id, cell]));
  for (const panel of document.querySelectorAll('details.cell')) byId.get(panel.dataset.cell).panel = panel;
  const holder = document.getElementById('grid');
  const form = document.getElementById('controls');
  const legends = [...document.querySelectorAll('.legend')];
  if (!holder) return;
  const original = holder.firstElementChild;
  const nothing = make('p', {hidden: ''}, 'No cell matches these filters.');
  holder.before(nothing);
  const fresh = () => ({rows: '', columns: '', states: new Set(), verdicts: new Set(), text: '', chosen: new Map()});
  let view = fresh();
  let back = null;

  // ---- small tools: elements are made of nodes and text only, never of markup
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  function glyph(state, verdict) {
    const space = 'http://www.w3.org/2000/svg';
    const svg = document.createElementNS(space, 'svg');
    svg.setAttribute('class', 'g ' + state + (verdict ? ' v-' + verdict : ''));
    svg.setAttribute('aria-hidden', 'true');
    const use = document.createElementNS(space, 'use');
    use.setAttribute('href', '#g-' + state);
    svg.append(use);
    return svg;
  }
  const valueOf = (cell, axis) => data.axes[axis][cell.at[axes.indexOf(axis)]];
  const suite = (name) => name.replace(/^TLS_(\w+?)_SHA(256|384)$/, '$1');
  const breakable = (name) => name.split(/(?<=_)(?=\w)/).flatMap((part, i) => (i ? [make('wbr'), part] : [part]));
  const label = (axis, name) => (axis === 'cipher' ? suite(name) : name);

  // ---- the view lives in the fragment, so that it can be bookmarked and sent
  function parse(fragment) {
    const found = fresh();
    const given = new URLSearchParams(fragment);
    const axis = (name) => (axes.includes(given.get(name)) ? given.get(name) : '');
    found.rows = axis('rows');
    found.columns = axis('columns');
    found.text = given.get('text') || '';
    found.states = new Set(given.getAll('outcome').filter((name) => data.states.includes(name)));
    found.verdicts = new Set(given.getAll('verdict').filter((name) => data.verdicts.includes(name)));
    for (const name of axes) {
      const values = given.getAll(name).filter((value) => data.axes[name].includes(value));
      if (values.length) found.chosen.set(name, new Set(values));
    }
    return {found, cell: given.get('cell')};
  }
  function write(cell) {
    const out = new URLSearchParams();
    if (view.rows) out.set('rows', view.rows);
    if (view.columns) out.set('columns', view.columns);
    for (const name of view.verdicts) out.append('verdict', name);
    for (const name of view.states) out.append('outcome', name);
    if (view.text) out.set('text', view.text);
    for (const [axis, values] of view.chosen) for (const value of values) out.append(axis, value);
    const plain = out.size === 0;
    if (cell) out.set('cell', cell);
    const fragment = plain ? (cell ? '#' + cell : '') : '#' + out;
    const change = cell ? 'pushState' : 'replaceState';
    history[change](null, '', fragment || location.pathname + location.search);
  }
  function read() {
    const fragment = decodeURIComponent(location.hash.slice(1));
    if (byId.has(fragment)) return open(fragment);
    const place = fragment && document.getElementById(fragment);
    if (place) return reveal(place);
    const {found, cell} = parse(location.hash.slice(1));
    view = found;
    draw();
    if (byId.has(cell)) open(cell);
  }

  // ---- panels of what is as expected, drawn when somebody opens them
  const part = (given) => (typeof given === 'number' ? data.parts[given] : given);
  const resolve = (cell, text) => text.replaceAll('\u0002', part(cell.drawn[1])).replaceAll('\u0001', cell.name);
  const address = (path) => './' + path.split('/').map(encodeURIComponent).join('/');
  const calm = document.getElementById('as-expected');
  const sections = new Map([...document.querySelectorAll('.build[data-build]')].map((one) => [Number(one.dataset.build), one]));
  const draws = new Map();
  for (const cell of cells) {
    if (!cell.drawn.length) continue;
    if (!draws.has(cell.build)) draws.set(cell.build, []);
    draws.get(cell.build).push(cell);
  }
  const folded = [...draws].filter(([build]) => !sections.has(build));

  function drawCalm() {
    if (!calm || calm.dataset.drawn) return;
    calm.dataset.drawn = 'yes';
    for (const [build] of folded) {
      const list = make('details', {class: 'quiet'}, make('summary'));
      const section = make('section', {class: 'build calm', 'data-build': build}, make('h3', {}, data.builds[build]), list);
      sections.set(build, section);
      calm.append(section);
    }
    filterBuilds();
  }
  function drawActions() {
    const box = document.getElementById('all-actions');
    if (box.dataset.drawn) return;
    box.dataset.drawn = 'yes';
    const head = make('tr', {}, ...['kind', 'name', 'status', 'took', 'log', 'digest'].map((word) => make('th', {scope: 'col'}, word)));
    const rows = data.actions.map(([kind, name, status, took, log, digest]) => make('tr', {}, make('td', {}, kind),
      make('th', {scope: 'row'}, name), make('td', {}, status), make('td', {class: 'num'}, took),
      make('td', {}, Array.isArray(log) ? make('a', {href: address(log[0])}, 'log') : log), make('td', {}, make('code', {}, digest))));
    box.append(make('div', {class: 'scroll'}, make('table', {class: 'list'}, make('thead', {}, head), make('tbody', {}, ...rows))));
  }

  function drawBuild(build) {
    if (!sections.has(build)) drawCalm();
    const list = sections.get(build).querySelector('.quiet');
    if (list.dataset.drawn) return;
    list.dataset.drawn = 'yes';
    for (const cell of draws.get(build)) list.append(cell.panel = drawLine(cell));
  }
  function drawLine(cell) {
    const why = make('span', {class: 'why'}, data.titles[cell.state] + (cell.reason ? ': ' + cell.reason : ''));
    const summary = make('summary', {}, glyph(cell.state, cell.verdict), make('b', {}, cell.name), ' ', why);
    const how = part(cell.drawn[0]);
    if (how) summary.append(make('span', {class: 'how'}, how));
    const line = make('details', {class: 'cell', 'data-cell': cell.id}, summary, make('div', {class: 'panel', id: cell.id}));
    line.hidden = !cell.on;
    return line;
  }
  function drawPanel(cell) {
    const panel = cell.panel.querySelector('.panel');
    if (panel.firstChild || !cell.drawn.length) return;
    const facts = make('dl', {}), tables = make('div', {class: 'tables'});
    const fact = (label, ...said) => facts.append(make('div', {}, make('dt', {}, label), make('dd', {}, ...said)));
    const scroll = (table) => { tables.append(make('div', {class: 'scroll'}, table)); return table; };
    const judged = (value) => (Array.isArray(value) ? make('td', {class: value[1] ? 'ok' : 'ko'}, value[0]) : make('td', {}, value));
    let lines = null;
    const draw = {
      said: (text) => panel.append(make('p', {class: 'said'}, resolve(cell, text))),
      fact: (label, ...pieces) => fact(label, ...pieces.flatMap((piece) => {
        if (!Array.isArray(piece)) return [resolve(cell, piece)];
        if (piece.length > 1) return [make('a', {href: piece[1], rel: 'noopener noreferrer'}, piece[0])];
        const path = resolve(cell, piece[0]);
        return [make('a', {href: address(path)}, path.split('/').at(-1)), ' '];
      })),
      rerun: (text) => fact('rerun', make('code', {class: 'copy'}, resolve(cell, text))),
      heads: (...heads) => {
        const first = make('tr', {}, make('td')), second = make('tr', {}, make('th', {}, 'request'));
        for (const [title, names] of heads) {
          first.append(make('th', {colspan: names.length}, title));
          names.forEach((name, i) => second.append(make('th', i ? {} : {class: 'first'}, name)));
        }
        lines = make('tbody');
        scroll(make('table', {class: 'requests'}, make('thead', {}, first, second), lines));
      },
      line: (label, ...values) => lines.append(make('tr', {}, make('th', {}, label), ...values.map(judged))),
      claims: (...claims) => {
        const head = make('tr', {}, ...['attestation', 'declared', 'found'].map((word) => make('th', {}, word)));
        const rows = claims.map(([what, declared, found]) => make('tr', {}, make('th', {}, what), make('td', {}, declared), judged(found)));
        scroll(make('table', {class: 'claims'}, make('thead', {}, head), make('tbody', {}, ...rows)));
      },
      log: (text) => panel.append(make('p', {class: 'cap'}, 'End of HAProxy\'s log'), make('pre', {}, resolve(cell, text))),
    };
    fact('verdict', data.verdictTitles[cell.verdict]);
    for (const given of sections.get(cell.build).querySelectorAll(':scope > .made')) fact('built from', ...given.cloneNode(true).childNodes);
    const blocks = cell.drawn.slice(2).map(part);
    const rank = (block) => ['said', '', 'log'].indexOf(block[0] === 'said' || block[0] === 'log' ? block[0] : '');
    for (const block of blocks.filter((one) => !rank(one))) draw.said(block[1]);
    panel.append(facts);
    for (const [kind, ...given] of blocks.filter((one) => rank(one) === 1)) draw[kind](...given);
    if (tables.firstChild) panel.append(tables);
    for (const block of blocks.filter((one) => rank(one) === 2)) draw.log(block[1]);
  }
  document.addEventListener('toggle', (event) => {
    const box = event.target;
    if (!box.open) return;
    if (box === calm) drawCalm();
    if (box.id === 'all-actions') drawActions();
    if (box.matches('.quiet')) drawBuild(Number(box.parentElement.dataset.build));
    if (box.matches('details.cell')) drawPanel(byId.get(box.dataset.cell));
  }, true);

  // ---- filters
  function makeFinder() {
    const words = view.text.toLowerCase().split(/\s+/).filter(Boolean);
    const inParts = words.map((word) => data.parts.map((one) => wordsOf(one).includes(word)));
    return (cell) => {
      if (!words.length) return true;
      if (!cell.drawn.length) {
        cell.words ??= cell.panel.textContent.toLowerCase();
        return words.every((word) => cell.words.includes(word));
      }
      cell.words ??= [cell.name, data.titles[cell.state], cell.reason, data.verdictTitles[cell.verdict]].join(' ').toLowerCase();
      return words.every((word, i) => cell.words.includes(word)
        || cell.drawn.some((one) => (typeof one === 'number' ? inParts[i][one] : wordsOf(one).includes(word))));
    };
  }
  const wordsOf = (given) => (typeof given === 'string' ? given : given.flat(2).join(' ')).toLowerCase();
  const values = () => [...view.chosen].map(([axis, chosen]) => {
    const place = axes.indexOf(axis), all = data.axes[axis];
    return (cell) => chosen.has(all[cell.at[place]]);
  });
  function filter() {
    const tests = [...values(), makeFinder()];
    const counts = {states: new Map(), verdicts: new Map()};
    const add = (map, key) => map.set(key, (map.get(key) || 0) + 1);
    let shown = 0;
    for (const cell of cells) {
      const here = tests.every((test) => test(cell));
      const state = !view.states.size || view.states.has(cell.state);
      const verdict = !view.verdicts.size || view.verdicts.has(cell.verdict);
      // A chip counts what the other filters leave.
      if (here && verdict) add(counts.states, cell.state);
      if (here && state) add(counts.verdicts, cell.verdict);
      cell.on = here && state && verdict;
      shown += cell.on;
    }
    return {shown, counts};
  }
  function filterLists() {
    for (const element of document.querySelectorAll('[data-cell]')) element.hidden = !byId.get(element.dataset.cell).on;
    filterBuilds();
    for (const box of document.querySelectorAll('.build, .group, .groups')) {
      const hidden = !box.querySelector('[data-cell]:not([hidden]), .quiet:not([hidden])');
      if (box.hidden !== hidden) box.hidden = hidden;
    }
    for (const group of document.querySelectorAll('.group')) {
      const members = group.querySelectorAll('[data-cell]'), left = group.querySelectorAll('[data-cell]:not([hidden])').length;
      group.querySelector('.count').textContent = left === members.length ? count(left, 'cell') : `${left} of ${count(members.length, 'cell')}`;
    }
  }
  const count = (number, noun) => `${number} ${noun}${number === 1 ? '' : 's'}`;
  function filterBuilds() {
    const left = new Map([...draws].map(([build, members]) => [build, members.reduce((sum, cell) => sum + cell.on, 0)]));
    for (const [build, section] of sections) {
      const list = section.querySelector('.quiet');
      const matching = left.get(build);
      const words = count(matching, 'cell') + ' as expected';
      if (list.hidden !== !matching) list.hidden = !matching;
      if (list.firstElementChild.textContent !== words) list.firstElementChild.textContent = words;
    }
    if (!calm) return;
    const some = folded.filter(([build]) => left.get(build));
    calm.hidden = !some.length;
    const cellsLeft = some.reduce((sum, [build]) => sum + left.get(build), 0);
    calm.querySelector('summary > span').textContent = `${count(some.length, 'build')}, ${count(cellsLeft, 'cell')}`;
    if (calm.dataset.drawn) for (const [build] of folded) sections.get(build).hidden = !left.get(build);
  }

  // ---- the grid
  function keysOf(over) {
    const ranks = new Map();
    for (const cell of cells) {
      const at = over.map((axis) => cell.at[axes.indexOf(axis)]);
      ranks.set(at.join(), at);
    }
    const compare = (a, b) => a.reduce((found, value, i) => found || value - b[i], 0);
    return [...ranks.values()].sort(compare);
  }
  // What the grid has: its bodies, their rows, the fields in them, the cells in those. Rows that are folded or
  // filtered out are not in the document, so that a browser has less to lay out.
  let bodies = [], drawnAs = null;
  function readTable(table) {
    const rows = new Map(), fields = new Map();
    bodies = [...table.tBodies].map((body) => {
      const found = {body, head: body.querySelector('tr.head'), rows: [], open: false, now: [...body.rows]};
      for (const row of body.rows) {
        if (row === found.head) continue;
        rows.set(row, {row, fields: [], calm: true, matches: true});
        found.rows.push(rows.get(row));
      }
      return found;
    });
    for (const link of table.querySelectorAll('a[href^="#c-"]')) {
      const cell = byId.get(link.getAttribute('href').slice(1));
      const td = link.closest('td'), row = rows.get(td.parentElement);
      let field = fields.get(td);
      if (!field) {
        field = {td, cells: [], items: [], key: ''};
        fields.set(td, field);
        row.fields.push(field);
      }
      field.cells.push(cell);
      field.items.push(link);
      if (cell.verdict !== 'as-expected') row.calm = false;
    }
    for (const field of fields.values()) {
      field.key = field.cells.length;
      target(field.td).tabIndex = -1;
    }
    for (const one of bodies) if (one.head) addFold(one);
    stop = null;
  }
  function addFold(one) {
    one.fold = one.head.querySelector('button') || make('button', {type: 'button', class: 'unfold'});
    one.fold.onclick = () => {
      one.open = !one.open;
      layRows();
      rove(null);
    };
    one.head.querySelector('span').after(one.fold);
  }
  // Where there are many rows, builds that are all as expected are one line.
  function layRows() {
    const many = bodies.reduce((sum, one) => sum + one.rows.filter((row) => row.matches).length, 0) > data.many;
    for (const one of bodies) {
      const matching = one.rows.filter((row) => row.matches);
      const calm = matching.filter((row) => many && one.fold && row.calm);
      const rows = one.open ? matching : matching.filter((row) => !calm.includes(row));
      const now = [...(one.head && matching.length ? [one.head] : []), ...rows.map((row) => row.row)];
      if (now.length !== one.now.length || now.some((row, i) => row !== one.now[i])) one.body.replaceChildren(...now);
      one.now = now;
      if (!one.fold) continue;
      one.fold.hidden = !calm.length;
      one.fold.setAttribute('aria-expanded', one.open);
      const left = calm.reduce((sum, row) => sum + row.fields.reduce((all, field) => all + field.cells.length, 0), 0);
      one.fold.textContent = `${count(calm.length, 'build')}, ${count(left, 'cell')}, all as expected`;
    }
  }
  function draw() {
    const {shown, counts} = filter();
    const as = view.rows + '/' + view.columns;
    if (as !== drawnAs) {
      const next = as === '/' ? original : drawTable();
      if (holder.firstElementChild !== next) holder.replaceChildren(next);
      drawnAs = as;
      document.body.classList.toggle('wide', next.matches('.dense'));
      readTable(next);
    }
    dim(shown);
    filterLists();
    drawControls(shown, counts);
    rove(null);
    fit();
  }
  // Rows with a match stay whole, what does not match in them is faint; so amd64 stays beside arm64.
  function dim(shown) {
    holder.hidden = !shown;
    nothing.hidden = shown > 0;
    for (const {rows} of bodies) {
      for (const line of rows) {
        line.matches = false;
        for (const field of line.fields) {
          let left = 0;
          for (const cell of field.cells) left += cell.on;
          if (left) line.matches = true;
          const key = left === field.cells.length ? left : field.cells.map((cell) => +cell.on).join('');
          if (key === field.key) continue;
          field.key = key;
          field.td.classList.toggle('dim', !left);
          if (field.cells.length > 1) drawMany(field, left);
        }
      }
    }
    layRows();
  }
  function drawMany(field, left) {
    const summary = field.td.querySelector('summary');
    const chosen = left ? field.cells.filter((cell) => cell.on) : field.cells;
    summary.replaceChildren(...face(chosen[0]), tally(chosen));
    summary.classList.toggle('short', isShort(chosen[0]));
    summary.parentElement.className = 'many ' + look(chosen[0]);
    field.cells.forEach((cell, i) => { field.items[i].parentElement.hidden = left > 0 && !cell.on; });
  }
  function drawTable() {
    const down = view.rows ? [view.rows] : data.rows;
    const across = view.columns ? [view.columns] : data.columns;
    const columns = keysOf(across);
    const slots = new Map();
    const key = (cell, over) => over.map((axis) => cell.at[axes.indexOf(axis)]).join();
    for (const cell of cells) {
      const place = key(cell, down) + '/' + key(cell, across);
      if (!slots.has(place)) slots.set(place, []);
      slots.get(place).push(cell);
    }
    const inside = axes.filter((axis) => data.axes[axis].length > 1 && !down.includes(axis) && !across.includes(axis));
    const found = [];
    let above = null;
    for (const row of keysOf(down)) {
      if (down.length > 1 && row[0] !== above) {
        above = row[0];
        const title = make('span', {}, 'HAProxy ' + data.axes[down[0]][above]);
        found.push(make('tbody'));
        found.at(-1).append(make('tr', {class: 'head'}, make('th', {colspan: columns.length + 1, scope: 'rowgroup'}, title)));
      }
      const line = make('tr', {}, make('th', {scope: 'row'}, ...headOf(down.at(-1), row.at(-1))));
      columns.forEach((column, i) => {
        const first = across.length > 1 && (!i || columns[i - 1][0] !== column[0]);
        line.append(make('td', first ? {class: 'first'} : {}, slot(slots.get(row + '/' + column) || [], inside)));
      });
      if (!found.length) found.push(make('tbody'));
      found.at(-1).append(line);
    }
    const sides = make('colgroup', {}, make('col'), ...columns.map(() => make('col')));
    const kind = ['grid', columns.length > data.crowd && 'dense', keysOf(down).length > data.many && 'long'].filter(Boolean).join(' ');
    return make('table', {class: kind, id: 'grid-table'}, sides, head(down, across, columns), ...found);
  }
  function headOf(axis, place) {
    const name = data.axes[axis][place];
    const words = breakable(label(axis, name));
    return axis === 'arch' && data.emulated.includes(name) ? [...words, ' ', make('em', {}, 'QEMU')] : words;
  }
  function head(down, across, columns) {
    const corner = make('th', {class: 'corner', scope: 'col', rowspan: across.length}, down.join(' and ') + ' by ' + across.join(' and '));
    const lines = across.map(() => make('tr'));
    lines[0].append(corner);
    columns.forEach((column, i) => {
      const first = !i || columns[i - 1][0] !== column[0];
      if (across.length > 1 && first) {
        const span = columns.filter((other) => other[0] === column[0]).length;
        lines[0].append(make('th', {colspan: span, scope: 'colgroup', class: 'first'}, ...headOf(across[0], column[0])));
      }
      const name = data.axes[across.at(-1)][column.at(-1)];
      const kind = across.length > 1 && first ? {class: 'first'} : {};
      lines.at(-1).append(make('th', {scope: 'col', title: name, ...kind}, ...headOf(across.at(-1), column.at(-1))));
    });
    return make('thead', {}, ...lines);
  }
  const look = (cell) => `field ${cell.state} v-${cell.verdict}`;
  function tally(found) {
    const shown = make('span', {class: 'tally'});
    for (const cell of found.filter((one, i) => !i || one.severity !== found[i - 1].severity)) {
      const count = found.filter((one) => one.severity === cell.severity).length;
      shown.append(make('span', {title: data.titles[cell.state]}, glyph(cell.state, cell.verdict), String(count)));
    }
    return shown;
  }
  function slot(given, inside) {
    if (!given.length) return make('span', {class: 'void', title: 'not in the matrix'}, '·');
    if (given.length === 1) return link(given[0]);
    const found = [...given].sort((a, b) => a.severity - b.severity);
    const list = found.map((cell) => {
      const name = inside.map((axis) => valueOf(cell, axis)).join(' ') || cell.name;
      const item = make('li', {}, glyph(cell.state, cell.verdict), make('a', {href: '#' + cell.id}, name));
      if (cell.reason) item.append(' ', ...breakable(cell.reason));
      if (cell.share) item.append(`, ${cell.share} attempts`);
      return item;
    });
    const summary = make('summary', isShort(found[0]) ? {class: 'short'} : {}, ...face(found[0]), tally(found));
    return make('details', {class: 'many ' + look(found[0])}, summary, make('ul', {}, ...list));
  }
  const archShown = () => [view.rows || data.rows, view.columns || data.columns].flat().includes('arch');
  const tellsQemu = (cell) => cell.qemu && !(archShown() && data.emulated.includes(valueOf(cell, 'arch')));
  const isShort = (cell) => !cell.reason && !data.tags[cell.verdict] && !tellsQemu(cell) && !cell.share;
  function face(cell) {
    const words = make('span', {}, make('b', {}, data.titles[cell.state]));
    if (cell.reason) words.append(make('i', {}, ...breakable(cell.reason)));
    if (data.tags[cell.verdict]) words.append(make('em', {}, data.tags[cell.verdict]));
    if (tellsQemu(cell)) words.append(make('em', {}, 'QEMU'));
    if (cell.share) words.append(make('em', {title: 'attempts'}, cell.share));
    return [glyph(cell.state), words];
  }
  function link(cell) {
    return make('a', {class: 'c ' + look(cell), href: '#' + cell.id}, ...face(cell));
  }
  // The name of a cell is said when somebody points at it, and the row and the column are marked.
  function point(event) {
    const field = event.target.closest('td');
    const to = field && field.querySelector(':scope > a.c');
    if (to && !to.title) to.title = byId.get(to.getAttribute('href').slice(1)).name;
    for (const old of holder.querySelectorAll('col.cross, th.cross')) old.classList.remove('cross');
    if (!field) return;
    const table = field.closest('table');
    table.querySelectorAll('col')[field.cellIndex]?.classList.add('cross');
    table.querySelector('thead tr:last-child').cells[field.cellIndex - 1]?.classList.add('cross');
    field.parentElement.cells[0].classList.add('cross');
  }
  for (const kind of ['pointerover', 'focusin']) holder.addEventListener(kind, point);
  holder.addEventListener('pointerleave', point);

  // ---- controls
  function change(update) {
    update();
    write();
    draw();
  }
  const toggle = (set, value) => (set.has(value) ? set.delete(value) : set.add(value));
  function select(name, title, fallback) {
    const element = make('select', {'aria-label': title});
    element.append(new Option(fallback, ''));
    for (const axis of axes) element.append(new Option(axis, axis));
    element.addEventListener('change', () => change(() => { view[name] = element.value; }));
    form.append(make('label', {}, title, element));
    return element;
  }
  function menu(axis) {
    const summary = make('summary', {});
    const boxes = data.axes[axis].map((value) => {
      const box = make('input', {type: 'checkbox'});
      box.addEventListener('change', () => change(() => {
        const set = view.chosen.get(axis) || new Set();
        toggle(set, value);
        set.size ? view.chosen.set(axis, set) : view.chosen.delete(axis);
      }));
      return {value, box};
    });
    const list = make('div', {class: 'menu'}, ...boxes.map(({value, box}) => make('label', {}, box, value)));
    const details = make('details', {name: 'axis'}, summary, list);
    details.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      details.open = false;
      summary.focus();
    });
    form.append(details);
    return () => {
      const set = view.chosen.get(axis) || new Set();
      summary.textContent = set.size ? `${axis}: ${set.size} of ${boxes.length}` : axis;
      summary.classList.toggle('set', set.size > 0);
      for (const {value, box} of boxes) box.checked = set.has(value);
    };
  }
  form.addEventListener('submit', (event) => event.preventDefault());
  document.addEventListener('click', (event) => {
    for (const open of form.querySelectorAll('details[open]')) if (!open.contains(event.target)) open.open = false;
  });
  const rows = select('rows', 'rows', data.rows.join(' and '));
  const columns = select('columns', 'columns', data.columns.join(' and '));
  const menus = axes.filter((axis) => data.axes[axis].length > 1).map(menu);
  const search = make('input', {type: 'search', placeholder: 'id, message, log…', autocomplete: 'off', spellcheck: 'false'});
  let pause = 0;
  search.addEventListener('input', () => {
    clearTimeout(pause);
    pause = setTimeout(() => change(() => { view.text = search.value.trim(); }), 120);
  });
  form.append(make('label', {}, 'text', search));
  const reset = make('button', {type: 'button'}, 'Reset');
  reset.addEventListener('click', () => change(() => { view = fresh(); search.value = ''; }));
  const tellShown = make('span', {class: 'shown', 'aria-live': 'polite'});
  form.append(reset, tellShown);
  const chips = legends.flatMap((legend) => [...legend.children]).map((item) => {
    const button = make('button', {type: 'button', title: item.title}, ...item.childNodes);
    const {state, verdict} = item.dataset;
    const chosen = () => (verdict ? view.verdicts : view.states);
    button.addEventListener('click', () => change(() => toggle(chosen(), verdict || state)));
    item.removeAttribute('title');
    item.replaceChildren(button);
    const number = button.querySelector('b');
    return (counts) => {
      const pressed = chosen().has(verdict || state);
      const count = (verdict ? counts.verdicts : counts.states).get(verdict || state) || 0;
      number.textContent = count;
      button.setAttribute('aria-pressed', pressed);
      item.classList.toggle('none', !count);
      button.tabIndex = count || pressed ? 0 : -1;
    };
  });
  for (const legend of legends) legend.classList.add('on');
  // On a phone the first alarm comes first: what is about the run, and the filters, are a tap away.
  // Where it is wide, and on paper, no summary is there to open them with; they stay open when it gets narrow again.
  const narrow = matchMedia('(max-width: 640px)');
  const fold = (open) => { for (const box of document.querySelectorAll('.fold')) box.open = open; };
  if (narrow.matches) fold(false);
  narrow.addEventListener('change', () => { if (!narrow.matches) fold(true); });
  addEventListener('beforeprint', () => {
    fold(true);
    document.getElementById('timeline')?.setAttribute('open', '');
  });
  function drawControls(shown, counts) {
    rows.value = view.rows;
    columns.value = view.columns;
    if (document.activeElement !== search) search.value = view.text;
    for (const update of menus) update();
    for (const update of chips) update(counts);
    const all = count(cells.length, 'cell');
    tellShown.textContent = shown === cells.length ? all : `${shown} of ${all}`;
    reset.hidden = !view.rows && !view.columns && shown === cells.length && !view.text;
  }
  form.hidden = false;

  // ---- panels
  function reveal(place) {
    for (let box = place.closest('details'); box; box = box.parentElement.closest('details')) box.open = true;
    place.scrollIntoView({block: 'start'});
  }
  function open(id) {
    const cell = byId.get(id);
    if (cell.drawn.length) {
      drawBuild(cell.build);
      drawPanel(cell);
    }
    const panel = cell.panel;
    for (let box = panel.parentElement.closest('details'); box; box = box.parentElement.closest('details')) box.open = true;
    for (let box = panel; box; box = box.parentElement.closest('[hidden]')) box.hidden = false;
    panel.open = true;
    panel.scrollIntoView({block: 'start'});
    panel.querySelector('summary').focus({preventScroll: true});
  }
  document.addEventListener('click', (event) => {
    const anchor = event.target.closest('a[href^="#c-"]');
    if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const id = anchor.getAttribute('href').slice(1);
    if (!byId.has(id)) return;
    event.preventDefault();
    back = anchor;
    write(id);
    open(id);
  });
  document.addEventListener('keydown', (event) => {
    const panel = event.key === 'Escape' && event.target.closest('details.cell');
    if (!panel) return;
    const home = back && back.isConnected ? back : holder.querySelector(`a[href="#${CSS.escape(panel.dataset.cell)}"]`);
    if (!home) return;
    home.focus();
    home.scrollIntoView({block: 'center'});
  });
  document.addEventListener('toggle', (event) => {
    const code = event.target.matches('details.cell[open]') && event.target.querySelector('code.copy');
    if (!code || code.nextElementSibling) return;
    const button = make('button', {type: 'button', class: 'copybutton'}, 'Copy');
    button.addEventListener('click', () => copy(code, button));
    code.after(button);
  }, true);
  async function copy(code, button) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  }

  // ---- a cell as Markdown, for an issue or a chat: what its panel says, as it stands there
  document.addEventListener('toggle', (event) => {
    const panel = event.target.matches('details.cell[open]') && event.target.querySelector('.panel');
    if (!panel || panel.querySelector('.asmarkdown')) return;
    const name = 'Copy as Markdown';
    const button = make('button', {type: 'button', class: 'copybutton asmarkdown'}, name);
    button.addEventListener('click', async () => {
      const text = markdown(event.target);
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = 'Copied';
      } catch {  // not every browser lets a page from disk write there
        const area = make('textarea', {readonly: '', rows: '12', 'aria-label': 'The cell as Markdown'}, text);
        if (button.nextElementSibling) button.nextElementSibling.remove();
        button.after(area);
        area.select();
        button.textContent = 'Selected';
      }
      setTimeout(() => { button.textContent = name; }, 1500);
    });
    panel.querySelector('dl').after(button);
  }, true);
  const plain = (element) => element.textContent.trim().replace(/\s+/g, ' ').replace(/[\\`*_{}[\]<>|#~@!&]/g, '\\$&');
  function rowsOf(table) {
    const lines = [...table.rows].map((row) => [...row.cells].flatMap((cell) => [plain(cell), ...Array(cell.colSpan - 1).fill('')]));
    const rule = lines[0].map(() => '---');
    return [lines[0], rule, ...lines.slice(1)].map((line) => '| ' + line.join(' | ') + ' |');
  }
  function fenced(text) {
    const ticks = '`'.repeat(Math.max(3, ...(text.match(/`+/g) || []).map((found) => found.length + 1)));
    return [ticks, text.replace(/\n$/, ''), ticks];
  }
  // A line of the panel is a line here, too; the frames of a backtrace stay as gdb wrote them.
  function fact(term) {
    const said = term.nextElementSibling, lines = [make('span')];
    for (const node of said.cloneNode(true).childNodes) {
      if (node.nodeName === 'BR') lines.push(make('span'));
      else if (node.nodeName === 'OL') lines.push(...node.children);
      else if (node.nodeName !== 'CODE' || lines.at(-1).firstChild) lines.at(-1).append(node.cloneNode(true));
      else lines[lines.length - 1] = node.cloneNode(true);
    }
    const [first, ...rest] = lines.filter((line) => line.textContent.trim());
    const frames = rest.filter((line) => line.nodeName === 'CODE').map((line) => line.textContent);
    const others = rest.filter((line) => line.nodeName !== 'CODE').map((line) => '  - ' + plain(line));
    return ['- ' + plain(term) + ': ' + (first ? plain(first) : ''), ...others, ...(frames.length ? ['', ...fenced(frames.join('\n')), ''] : [])];
  }
  function markdown(details) {
    const panel = details.querySelector('.panel');
    const lines = ['### ' + plain(details.querySelector('summary b')), '', plain(details.querySelector('summary .why')), ''];
    for (const said of panel.querySelectorAll('p.said, p.cause')) lines.push(plain(said), '');
    for (const term of panel.querySelectorAll('dl dt')) {
      const code = term.textContent === 'rerun' && term.nextElementSibling.querySelector('code.copy');
      lines.push(...(code ? ['', ...fenced(code.textContent)] : fact(term)));
    }
    for (const table of panel.querySelectorAll('table')) lines.push('', ...rowsOf(table));
    for (const log of panel.querySelectorAll('pre')) lines.push('', ...fenced(log.textContent));
    return lines.join('\n') + '\n';
  }

  // ---- one tab stop for the grid, arrow keys inside it
  const stops = () => [...holder.querySelectorAll('tbody tr:not(.head)')].map((row) => [...row.querySelectorAll('td')]);
  const target = (cell) => cell && cell.querySelector('a, summary');
  let stop = null;
  function rove(chosen) {
    const next = chosen || firstStop();
    if (next === stop) return;
    if (stop) stop.tabIndex = -1;
    if (next) next.tabIndex = 0;
    stop = next;
  }
  function firstStop() {
    for (const one of bodies) {
      for (const row of one.now) if (row !== one.head && row.querySelector('td a')) return target([...row.cells].find((td) => td.querySelector('a')));
    }
    return null;
  }
  const moves = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};
  holder.addEventListener('keydown', (event) => {
    const here = event.target.closest('td');
    if (!here || !(event.key in moves || event.key === 'Home' || event.key === 'End')) return;
    if (event.target.closest('.many ul')) return;
    const lines = stops();
    let y = lines.findIndex((line) => line.includes(here));
    let x = lines[y].indexOf(here);
    event.preventDefault();
    if (event.key === 'Home') return go(lines[y].find(target));
    if (event.key === 'End') return go(lines[y].findLast(target));
    const [dy, dx] = moves[event.key];
    do { y += dy; x += dx; } while (lines[y] && lines[y][x] && !target(lines[y][x]));
    if (lines[y] && lines[y][x]) go(lines[y][x]);
  });
  function go(cell) {
    target(cell).focus();
    target(cell).scrollIntoView({block: 'nearest', inline: 'nearest'});
  }
  holder.addEventListener('focusin', (event) => {
    if (event.target.matches('td > a, td > details > summary')) rove(event.target);
  });
  document.getElementById('hint').hidden = false;

  // The line that names HAProxy stays below the head of the columns, whose height depends on names and width.
  function fit() {
    const head = holder.querySelector('thead');
    if (head) holder.style.setProperty('--head', head.getBoundingClientRect().height + 'px');
  }
  addEventListener('resize', fit);

  // Whatever is wider than the page can be scrolled with the keyboard, and says what it is. What is folded is looked
  // at when it opens: to ask for its width, a browser would lay it out, each of thousands of panels by itself.
  function reach(within) {
    for (const box of within.querySelectorAll('.scroll:not(#grid)')) {
      if (box.closest('details:not([open])')) continue;
      const wide = box.scrollWidth > box.clientWidth;
      if (wide === box.hasAttribute('tabindex')) continue;
      if (!wide) { box.removeAttribute('tabindex'); continue; }
      const title = box.closest('.panel')?.id.slice(2) || box.closest('section')?.querySelector('h2')?.textContent;
      box.tabIndex = 0;
      box.setAttribute('role', 'group');
      box.setAttribute('aria-label', 'Table: ' + title);
    }
  }
  addEventListener('resize', () => reach(document));
  document.addEventListener('toggle', (event) => reach(event.target), true);

  addEventListener('hashchange', read);
  addEventListener('popstate', read);
  read();
  if (drawnAs === null) draw();
  reach(document);
})();
