'use strict';
// What is true when the page was made may not be when it is read: the next night may be missing by now.
(() => {
  const box = document.getElementById('overdue');
  const handlers = {
    last(night) {
      const hours = (Date.now() - Date.parse(night.started_at)) / 3600000;
      box.hidden = !(hours > night.hours || Number.isNaN(hours));
      if (box.hidden) return;
      const age = hours < 72 ? Math.round(hours) + ' hours' : Math.floor(hours / 24) + ' days';
      box.querySelector('span').textContent = `No night since ${night.day}: what is shown is ${age} old.`;
    },
  };
  // Where a year is wider than the screen, the newest nights are in sight.
  for (const chart of document.querySelectorAll('.calendar')) chart.parentElement.scrollLeft = chart.parentElement.scrollWidth;
  const site = (window.matrixctl ??= {});
  const take = ([name, ...values]) => handlers[name] && handlers[name](...values);
  const kept = site.queue ?? [];
  for (const entry of kept) take(entry);
  site.queue = {kept, push(entry) { kept.push(entry); take(entry); }};
  site.on = (name, handler) => { handlers[name] = handler; };
})();
