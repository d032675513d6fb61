// Elements, and how numbers, times and lengths of time are written. Whatever comes from the server is set as text.

const SVG = 'http://www.w3.org/2000/svg';

function put(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat(3).filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

export const el = (name, attributes = {}, ...children) => put(document.createElement(name), attributes, children);
export const svg = (name, attributes = {}, ...children) => put(document.createElementNS(SVG, name), attributes, children);

const whole = new Intl.NumberFormat('en');
export const number = value => (value === null || value === undefined ? '–' : whole.format(value));
export const rate = value => (value === null || value === undefined ? '–' : value < 10 ? value.toFixed(1) : whole.format(Math.round(value)));

const UNITS = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1_000], ['ms', 1]];

// Its largest two units: 2 d 3 h, 4 min 10 s, 12 ms.
export function span(ms) {
  if (ms === null || ms === undefined) return '–';
  let left = Math.max(0, Math.round(ms));
  const first = UNITS.findIndex(([, unit]) => left >= unit);
  if (first < 0) return '0 ms';
  const parts = [];
  for (const [name, unit] of UNITS.slice(first, first + 2)) {
    const count = Math.floor(left / unit);
    left -= count * unit;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(' ');
}

// The same in one unit, for what changes every other second.
export const brief = ms => (ms === null || ms === undefined ? '–'
  : ms < 1_000 ? `${Math.max(0, Math.round(ms))} ms` : ms < 60_000 ? `${(ms / 1_000).toFixed(1)} s` : span(ms - (ms % 1_000)));

export const time = ms => (ms === null || ms === undefined ? '–' : new Date(ms).toISOString().replace('T', ' '));

// A table whose columns are [title, is a number?]; cells may be elements.
export function table(caption, columns, rows) {
  const cell = (value, at) => el('td', { class: columns[at][1] ? 'n' : null }, value);
  return el('div', { class: 'wide' }, el('table', {},
    el('caption', {}, caption),
    el('thead', {}, el('tr', {}, columns.map(([title, isNumber]) => el('th', { scope: 'col', class: isNumber ? 'n' : null }, title)))),
    el('tbody', {}, rows.map(row => el('tr', {}, row.map(cell))))));
}

// Names and values, one under the other.
export const facts = pairs => el('dl', { class: 'facts' }, pairs
  .filter(([, value]) => value !== null && value !== undefined && value !== '')
  .map(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));

// Tells what changed to who cannot see it, and shows it on top.
export const say = text => {
  const said = document.getElementById('said');
  if (said.textContent !== text) said.textContent = text;
};

export const traceLink = (id, text = id) => el('a', { class: 'id', href: `#trace/${encodeURIComponent(id)}` }, text);
