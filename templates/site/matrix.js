(() => {
  const data = window.matrixctl.queue.kept.find(([name]) => name === 'matrix')[1];
  const axes = Object.keys(data.axes);
  const cells = data.cells.map(([name, page, at, state, verdict, tone, reason, age, whole]) => ({
    name, page, at, state: data.states[state], verdict, tone, rank: [tone, state, age],
    reason: data.reasons[reason], age: age + (whole ? '+' : ''),
  }));
  const valuesOf = {};
  for (const axis of axes) {
    valuesOf[axis] = Object.create(null);
    for (const name of data.axes[axis]) valuesOf[axis][name] = data.families[axis]?.[name] ?? [];
  }
  const holder = document.getElementById('grid');
  const original = holder.firstElementChild;
  const form = document.getElementById('controls');
  const problem = document.getElementById('problem');
  const valueOf = (cell, axis) => data.axes[axis][cell.at[axes.indexOf(axis)]];
  const SVG = 'http://www.w3.org/2000/svg';
  const glyphs = {'now-passing': 'note', 'as-expected': 'pass', untried: 'unsupported', 'not-judged': 'not-judged'};

  function make(tag, given = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  function glyph(name, verdict) {
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('class', 'g ' + name + (verdict ? ' v-' + verdict : ''));
    svg.setAttribute('aria-hidden', 'true');
    const use = document.createElementNS(SVG, 'use');
    use.setAttribute('href', '#g-' + name);
    svg.append(use);
    return svg;
  }
  const breakable = (text) => text.split(/(?<=_)/).flatMap((part) => [part, make('wbr')]).slice(0, -1);
  const short = (axis, name) => (axis === 'cipher' ? name.replace(/^TLS_(\w+?)_SHA(256|384)$/, '$1') : name);

  let view = {rows: '', columns: '', filter: ''};
  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const axis = (name) => (axes.includes(given.get(name)) ? given.get(name) : '');
    view = {rows: axis('rows'), columns: axis('columns'), filter: given.getAll('filter').join(' ')};
    draw();
  }
  function write() {
    const out = new URLSearchParams();
    for (const name of ['rows', 'columns']) if (view[name]) out.set(name, view[name]);
    for (const one of window.matrixctl.filters.split(view.filter)) out.append('filter', one);
    history.replaceState(null, '', out.size ? '#' + out : location.pathname + location.search);
  }
  function chosen() {
    let left = cells;
    for (const text of window.matrixctl.filters.split(view.filter)) {
      const {axis, names} = window.matrixctl.filters.names(text, valuesOf);
      left = left.filter((cell) => names.has(valueOf(cell, axis)));
    }
    return left;
  }
  function keysOf(shown, over) {
    const found = new Map();
    for (const cell of shown) {
      const at = over.map((axis) => cell.at[axes.indexOf(axis)]);
      found.set(at.join(), at);
    }
    return [...found.values()].sort((a, b) => a.reduce((sum, value, i) => sum || value - b[i], 0));
  }
  function face(cell) {
    const words = make('span', {}, make('b', {}, data.titles[cell.state]));
    if (cell.reason) words.append(make('i', {}, ...breakable(cell.reason)));
    words.append(make('em', {title: 'nights for which it has ended like this'}, cell.age));
    return [glyph(cell.state), words];
  }
  const look = (cell) => `field ${cell.state} v-${cell.verdict}`;
  const worst = (a, b) => a.rank.reduce((sum, value, i) => sum || value - b.rank[i], 0);
  function slot(given, inside) {
    if (!given.length) return make('span', {class: 'void', title: 'not in the matrix, or filtered out'}, '·');
    const found = [...given].sort(worst);
    if (found.length === 1) {
      return make('a', {class: 'c ' + look(found[0]), href: found[0].page, title: found[0].name}, ...face(found[0]));
    }
    const tally = make('span', {class: 'tally'});
    for (const tone of new Set(found.map((cell) => cell.tone))) {
      const name = data.tones[tone];
      const count = found.filter((cell) => cell.tone === tone).length;
      tally.append(make('span', {title: data.tone_titles[name]}, glyph(glyphs[name] ?? 'fail', name), String(count)));
    }
    const list = found.map((cell) => {
      const name = inside.map((axis) => valueOf(cell, axis)).join(' ') || cell.name;
      const item = make('li', {}, glyph(cell.state, cell.verdict), make('a', {href: cell.page}, name));
      if (cell.reason) item.append(' ', ...breakable(cell.reason));
      return item;
    });
    return make('details', {class: 'many ' + look(found[0])}, make('summary', {}, ...face(found[0]), tally), make('ul', {}, ...list));
  }
  function table(shown) {
    const down = view.rows ? [view.rows] : data.rows;
    const across = view.columns ? [view.columns] : data.columns;
    const columns = keysOf(shown, across);
    const key = (cell, over) => over.map((axis) => cell.at[axes.indexOf(axis)]).join();
    const slots = new Map();
    for (const cell of shown) {
      const place = key(cell, down) + '/' + key(cell, across);
      if (!slots.has(place)) slots.set(place, []);
      slots.get(place).push(cell);
    }
    const inside = axes.filter((axis) => data.axes[axis].length > 1 && !down.includes(axis) && !across.includes(axis));
    const first = (i) => across.length > 1 && (!i || columns[i - 1][0] !== columns[i][0]);
    const lines = across.map(() => make('tr'));
    lines[0].append(make('th', {class: 'corner', scope: 'col', rowspan: across.length}, down.join(' and ') + ' by ' + across.join(' and ')));
    columns.forEach((column, i) => {
      if (first(i)) {
        const span = columns.filter((other) => other[0] === column[0]).length;
        lines[0].append(make('th', {colspan: span, scope: 'colgroup', class: 'first'}, data.axes[across[0]][column[0]]));
      }
      const name = data.axes[across.at(-1)][column.at(-1)];
      lines.at(-1).append(make('th', {scope: 'col', title: name, ...(first(i) ? {class: 'first'} : {})}, ...breakable(short(across.at(-1), name))));
    });
    const bodies = [make('tbody')];
    let above = null;
    for (const row of keysOf(shown, down)) {
      if (down.length > 1 && row[0] !== above) {
        above = row[0];
        bodies.push(make('tbody', {}, make('tr', {class: 'head'}, make('th', {colspan: columns.length + 1, scope: 'rowgroup'}, make('span', {}, 'HAProxy ' + data.axes[down[0]][above])))));
      }
      const line = make('tr', {}, make('th', {scope: 'row'}, ...breakable(short(down.at(-1), data.axes[down.at(-1)][row.at(-1)]))));
      columns.forEach((column, i) => line.append(make('td', first(i) ? {class: 'first'} : {}, slot(slots.get(row + '/' + column) ?? [], inside))));
      bodies.at(-1).append(line);
    }
    const kind = columns.length > data.crowd ? 'grid dense' : 'grid';
    return make('table', {class: kind, id: 'grid-table'}, make('thead', {}, ...lines), ...bodies.filter((body) => body.childElementCount));
  }
  function draw() {
    let shown = cells;
    problem.hidden = true;
    try {
      shown = chosen();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      problem.textContent = error.message;
      problem.hidden = false;
      shown = [];
    }
    const plain = shown.length === cells.length && !view.rows && !view.columns;
    const next = plain ? original : shown.length ? table(shown) : make('p', {}, 'No cell matches these filters.');
    if (holder.firstElementChild !== next) holder.replaceChildren(next);
    rows.value = view.rows;
    columns.value = view.columns;
    if (document.activeElement !== box) box.value = view.filter;
    count.textContent = shown.length === cells.length ? `${cells.length} cells` : `${shown.length} of ${cells.length} cells`;
    fit();
  }
  // The line that names HAProxy stays below the head of the columns, whose height depends on names and width.
  function fit() {
    const head = holder.querySelector('thead');
    if (head) holder.style.setProperty('--head', head.getBoundingClientRect().height + 'px');
  }
  function choose(name, fallback) {
    const element = make('select', {});
    element.append(new Option(fallback, ''), ...axes.map((axis) => new Option(axis, axis)));
    element.addEventListener('change', () => { view[name] = element.value; write(); draw(); });
    form.append(make('label', {}, name, element));
    return element;
  }
  const rows = choose('rows', data.rows.join(' and '));
  const columns = choose('columns', data.columns.join(' and '));
  const box = make('input', {type: 'search', placeholder: "tls=libressl* haproxy<3.2", autocomplete: 'off', spellcheck: 'false', size: '38'});
  let pause = 0;
  box.addEventListener('input', () => {
    clearTimeout(pause);
    pause = setTimeout(() => { view.filter = box.value.trim(); write(); draw(); }, 200);
  });
  form.addEventListener('submit', (event) => { event.preventDefault(); });
  const count = make('span', {class: 'shown', 'aria-live': 'polite'});
  form.append(make('label', {class: 'filter'}, 'filters, as in --filter', box), count);
  form.hidden = false;
  addEventListener('hashchange', read);
  addEventListener('resize', fit);
  read();
})();
