'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const axes = Object.keys(data.axes);
  const cells = data.cells.map(([id, at, state, verdict, reason, qemu, share]) => ({
    id, at, qemu, share, state: data.states[state], verdict: data.verdicts[verdict], reason: data.reasons[reason],
    severity: verdict * data.states.length + state,
    panel: document.getElementById(id).closest('details'),
  }));
  const byId = new Map(cells.map((cell) => [cell.id, cell]));
  const holder = document.getElementById('grid');
  const form = document.getElementById('controls');
  const legends = [...document.querySelectorAll('.legend')];
  if (!holder) return;
  const original = holder.firstElementChild;
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
  const nameOf = (cell) => cell.panel.querySelector('summary b').textContent;

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

  // ---- filters
  function matches(cell) {
    if (view.states.size && !view.states.has(cell.state)) return false;
    if (view.verdicts.size && !view.verdicts.has(cell.verdict)) return false;
    for (const [axis, values] of view.chosen) if (!values.has(valueOf(cell, axis))) return false;
    if (!view.text) return true;
    cell.words ??= cell.panel.textContent.toLowerCase();
    return view.text.toLowerCase().split(/\s+/).every((word) => cell.words.includes(word));
  }
  function filterLists(shown) {
    const visible = new Set(shown.map((cell) => cell.id));
    for (const element of document.querySelectorAll('[data-cell]')) element.hidden = !visible.has(element.dataset.cell);
    for (const box of document.querySelectorAll('.build, .group, .groups')) {
      box.hidden = !box.querySelector('[data-cell]:not([hidden])');
    }
  }

  // ---- the grid
  function keysOf(shown, over) {
    const ranks = new Map();
    for (const cell of shown) {
      const at = over.map((axis) => cell.at[axes.indexOf(axis)]);
      ranks.set(at.join(), at);
    }
    const compare = (a, b) => a.reduce((found, value, i) => found || value - b[i], 0);
    return [...ranks.values()].sort(compare);
  }
  function draw() {
    const shown = cells.filter(matches);
    const untouched = shown.length === cells.length && !view.rows && !view.columns;
    const empty = () => make('p', {}, 'No cell matches these filters.');
    const next = untouched ? original : shown.length ? table(shown) : empty();
    if (holder.firstElementChild !== next) holder.replaceChildren(next);
    filterLists(shown);
    drawControls(shown.length);
    rove(null);
    fit();
  }
  function table(shown) {
    const down = view.rows ? [view.rows] : data.rows;
    const across = view.columns ? [view.columns] : data.columns;
    const columns = keysOf(shown, across);
    const slots = new Map();
    const key = (cell, over) => over.map((axis) => cell.at[axes.indexOf(axis)]).join();
    for (const cell of shown) {
      const place = key(cell, down) + '/' + key(cell, across);
      if (!slots.has(place)) slots.set(place, []);
      slots.get(place).push(cell);
    }
    const inside = axes.filter((axis) => data.axes[axis].length > 1 && !down.includes(axis) && !across.includes(axis));
    const bodies = [];
    let above = null;
    for (const row of keysOf(shown, down)) {
      if (down.length > 1 && row[0] !== above) {
        above = row[0];
        const title = make('span', {}, 'HAProxy ' + data.axes[down[0]][above]);
        bodies.push(make('tbody'));
        bodies.at(-1).append(make('tr', {class: 'head'}, make('th', {colspan: columns.length + 1, scope: 'rowgroup'}, title)));
      }
      const name = label(down.at(-1), data.axes[down.at(-1)][row.at(-1)]);
      const line = make('tr', {}, make('th', {scope: 'row'}, ...breakable(name)));
      columns.forEach((column, i) => {
        const first = across.length > 1 && (!i || columns[i - 1][0] !== column[0]);
        line.append(make('td', first ? {class: 'first'} : {}, slot(slots.get(row + '/' + column) || [], inside)));
      });
      if (!bodies.length) bodies.push(make('tbody'));
      bodies.at(-1).append(line);
    }
    return make('table', {class: columns.length > data.crowd ? 'grid dense' : 'grid', id: 'grid-table'}, head(down, across, columns), ...bodies);
  }
  function head(down, across, columns) {
    const corner = make('th', {class: 'corner', scope: 'col', rowspan: across.length}, down.join(' and ') + ' by ' + across.join(' and '));
    const lines = across.map(() => make('tr'));
    lines[0].append(corner);
    columns.forEach((column, i) => {
      const first = !i || columns[i - 1][0] !== column[0];
      if (across.length > 1 && first) {
        const span = columns.filter((other) => other[0] === column[0]).length;
        lines[0].append(make('th', {colspan: span, scope: 'colgroup', class: 'first'}, data.axes[across[0]][column[0]]));
      }
      const name = data.axes[across.at(-1)][column.at(-1)];
      const kind = across.length > 1 && first ? {class: 'first'} : {};
      lines.at(-1).append(make('th', {scope: 'col', title: name, ...kind}, ...breakable(label(across.at(-1), name))));
    });
    return make('thead', {}, ...lines);
  }
  const look = (cell) => `field ${cell.state} v-${cell.verdict}`;
  function slot(given, inside) {
    if (!given.length) return make('span', {class: 'void', title: 'not in the matrix, or filtered out'}, '·');
    if (given.length === 1) return link(given[0]);
    const found = [...given].sort((a, b) => a.severity - b.severity);
    const tally = make('span', {class: 'tally'});
    for (const cell of found.filter((one, i) => !i || one.severity !== found[i - 1].severity)) {
      const count = found.filter((one) => one.severity === cell.severity).length;
      tally.append(make('span', {title: data.titles[cell.state]}, glyph(cell.state, cell.verdict), String(count)));
    }
    const list = found.map((cell) => {
      const name = inside.map((axis) => valueOf(cell, axis)).join(' ') || nameOf(cell);
      const item = make('li', {}, glyph(cell.state, cell.verdict), make('a', {href: '#' + cell.id}, name));
      if (cell.reason) item.append(' ', ...breakable(cell.reason));
      if (cell.share) item.append(`, ${cell.share} attempts`);
      return item;
    });
    const summary = make('summary', {}, ...face(found[0]), tally);
    return make('details', {class: 'many ' + look(found[0])}, summary, make('ul', {}, ...list));
  }
  function face(cell) {
    const words = make('span', {}, make('b', {}, data.titles[cell.state]));
    if (cell.reason) words.append(make('i', {}, ...breakable(cell.reason)));
    if (data.tags[cell.verdict]) words.append(make('em', {}, data.tags[cell.verdict]));
    if (cell.qemu) words.append(make('em', {}, 'QEMU'));
    if (cell.share) words.append(make('em', {title: 'attempts'}, cell.share));
    return [glyph(cell.state), words];
  }
  function link(cell) {
    return make('a', {class: 'c ' + look(cell), href: '#' + cell.id, title: nameOf(cell)}, ...face(cell));
  }

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
  const count = make('span', {class: 'shown', 'aria-live': 'polite'});
  form.append(reset, count);
  const chips = legends.flatMap((legend) => [...legend.children]).map((item) => {
    const button = make('button', {type: 'button', title: item.title}, ...item.childNodes);
    const {state, verdict} = item.dataset;
    const chosen = () => (verdict ? view.verdicts : view.states);
    button.addEventListener('click', () => change(() => toggle(chosen(), verdict || state)));
    if (item.classList.contains('none')) button.tabIndex = -1;
    item.removeAttribute('title');
    item.replaceChildren(button);
    return () => button.setAttribute('aria-pressed', chosen().has(verdict || state));
  });
  for (const legend of legends) legend.classList.add('on');
  // On a phone the first alarm comes first: what is about the run, and the filters, are a tap away.
  // Where it is wide, and on paper, no summary is there to open them with; they stay open when it gets narrow again.
  const narrow = matchMedia('(max-width: 640px)');
  const fold = (open) => { for (const box of document.querySelectorAll('.fold')) box.open = open; };
  if (narrow.matches) fold(false);
  narrow.addEventListener('change', () => { if (!narrow.matches) fold(true); });
  addEventListener('beforeprint', () => fold(true));
  function drawControls(shown) {
    rows.value = view.rows;
    columns.value = view.columns;
    if (document.activeElement !== search) search.value = view.text;
    for (const update of menus) update();
    for (const update of chips) update();
    const all = cells.length === 1 ? '1 cell' : `${cells.length} cells`;
    count.textContent = shown === cells.length ? all : `${shown} of ${all}`;
    reset.hidden = !view.rows && !view.columns && shown === cells.length && !view.text;
  }
  form.hidden = false;

  // ---- panels
  function reveal(place) {
    const folded = place.closest('details');
    if (folded) folded.open = true;
    place.scrollIntoView({block: 'start'});
  }
  function open(id) {
    const panel = byId.get(id).panel;
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
  function markdown(details) {
    const panel = details.querySelector('.panel');
    const lines = ['### ' + plain(details.querySelector('summary b')), '', plain(details.querySelector('summary .why')), ''];
    for (const said of panel.querySelectorAll('p.said, p.cause')) lines.push(plain(said), '');
    for (const term of panel.querySelectorAll('dl dt')) {
      const code = term.textContent === 'rerun' && term.nextElementSibling.querySelector('code.copy');
      lines.push(...(code ? ['', ...fenced(code.textContent)] : ['- ' + plain(term) + ': ' + plain(term.nextElementSibling)]));
    }
    for (const table of panel.querySelectorAll('table')) lines.push('', ...rowsOf(table));
    for (const log of panel.querySelectorAll('pre')) lines.push('', ...fenced(log.textContent));
    return lines.join('\n') + '\n';
  }

  // ---- one tab stop for the grid, arrow keys inside it
  const stops = () => [...holder.querySelectorAll('tbody tr:not(.head)')].map((row) => [...row.querySelectorAll('td')]);
  const target = (cell) => cell && cell.querySelector('a, summary');
  function rove(chosen) {
    const all = holder.querySelectorAll('td > a, td > details > summary');
    const current = chosen || all[0];
    for (const element of all) element.tabIndex = element === current ? 0 : -1;
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

  // Whatever is wider than the page can be scrolled with the keyboard, and says what it is.
  function reach() {
    for (const box of document.querySelectorAll('.scroll:not(#grid)')) {
      const wide = box.scrollWidth > box.clientWidth;
      if (wide === box.hasAttribute('tabindex')) continue;
      if (!wide) { box.removeAttribute('tabindex'); continue; }
      const title = box.closest('.panel')?.id.slice(2) || box.closest('section')?.querySelector('h2')?.textContent;
      box.tabIndex = 0;
      box.setAttribute('role', 'group');
      box.setAttribute('aria-label', 'Table: ' + title);
    }
  }
  addEventListener('resize', reach);
  document.addEventListener('toggle', reach, true);

  addEventListener('hashchange', read);
  addEventListener('popstate', read);
  read();
  if (!form.querySelector('.shown').textContent) drawControls(cells.length);
  rove(null);
  fit();
  reach();
})();
