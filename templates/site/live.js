'use strict';
// Follows the run: each event is all that the page shows. Every text goes in as a text.
(() => {
  const at = (id) => document.getElementById(id);
  const element = (name, text, look) => {
    const made = document.createElement(name);
    if (look) made.className = look;
    made.textContent = text;
    return made;
  };
  const link = (text, to) => {
    const made = element('a', text);
    made.setAttribute('href', to);
    return made;
  };
  const sign = (name, verdict) => {
    const made = at('sign').content.querySelector('svg').cloneNode(true);
    made.setAttribute('class', `g ${name}${verdict ? ' v-' + verdict : ''}`);
    made.querySelector('use').setAttribute('href', '#g-' + name);
    return made;
  };
  const item = (...parts) => {
    const made = document.createElement('li');
    for (const part of parts.filter(Boolean)) made.append(part, ' ');
    return made;
  };
  const signs = {alarm: 'alarm', unsure: 'not-judged', note: 'note', calm: 'pass'};
  const problem = (text) => {
    at('problem').hidden = !text;
    at('problem').querySelector('span').textContent = text;
  };
  const show = (live) => {
    document.title = live.sentence;
    at('state').className = 'top ' + live.level;
    at('state').querySelector('h1 svg').replaceWith(sign(signs[live.level]));
    for (const name of ['sentence', 'judged', 'planned']) at(name).textContent = live[name];
    for (const name of ['run', 'began']) at(name).textContent = live[name] || '–';
    at('also').textContent = live.also.join('; ');
    problem(live.problem);
    at('report').hidden = !live.report;
    at('report').setAttribute('href', live.report);
    at('progress').max = live.planned || 1;
    at('progress').value = live.judged;
    at('running').replaceChildren(...live.running.map((action) => item(element('b', action.kind), element('span', action.name))));
    at('idle').hidden = live.running.length > 0;
    at('last').replaceChildren(...live.last.map((cell) => item(
      sign(cell.state, cell.verdict),
      element('b', cell.outcome),
      cell.reason && element('span', cell.reason),
      cell.tag && element('span', cell.tag, 'tag v-' + cell.verdict),
      link(cell.cell, cell.link),
      cell.message && element('span', cell.message, 'was'),
    )));
    at('none').hidden = live.last.length > 0;
  };
  const events = new EventSource('events');
  events.addEventListener('run', (event) => show(JSON.parse(event.data)));
  // The browser asks again by itself; until then what stands here may be old.
  events.addEventListener('error', () => problem('matrixctl serve does not answer: this is what it said last.'));
})();
