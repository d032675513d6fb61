// A product's order book and its latest trades, drawn; the same figures stand in tables beside.

import { get } from './call.js';
import { el, number, say, svg, table, time } from './dom.js';

export const title = 'Market';
const EVERY_MS = 2_000;
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 270, 60, 16, 20, 30];

const scale = (from, to, low, high) => value => (to === from ? (low + high) / 2 : low + ((value - from) / (to - from)) * (high - low));

function axis(ticks, at, label) {
  return ticks.map(tick => [
    svg('line', { class: 'axis', x1: LEFT, x2: WIDTH - RIGHT, y1: at(tick), y2: at(tick) }),
    svg('text', { x: LEFT - 8, y: at(tick) + 4, 'text-anchor': 'end' }, label(tick))]);
}

const ticks = (low, high) => [...new Set([0, 1, 2, 3, 4].map(n => Math.round(low + ((high - low) * n) / 4)))];

// Prices of the trades, oldest to newest: one step each, since trades come in bursts.
function trades(told) {
  const points = [...told.trades].reverse();
  if (points.length === 0) return el('p', { class: 'soft' }, 'No trades yet.');
  const prices = points.map(point => point.price);
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const x = scale(0, points.length - 1, LEFT, WIDTH - RIGHT);
  const y = scale(low, high, HEIGHT - BOTTOM, TOP);
  const text = `The last ${points.length} trades, between ${number(low)} and ${number(high)} won; the newest at ${number(prices.at(-1))}`;
  return svg('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': text, id: 'trades' },
    axis(ticks(low, high), y, number),
    svg('polyline', { class: 'price', points: points.map((point, n) => `${x(n)},${y(point.price)}`).join(' ') }),
    points.map((point, n) => svg('circle', { class: 'trade', cx: x(n), cy: y(point.price), r: 2.5 }, svg('title', {}, `${number(point.price)} won, order ${point.id}, ${time(point.at)}`))),
    svg('text', { x: LEFT, y: HEIGHT - 8 }, time(points[0].at)),
    svg('text', { x: WIDTH - RIGHT, y: HEIGHT - 8, 'text-anchor': 'end' }, time(points.at(-1).at)));
}

// How many are offered and wanted at each price or better: steps that meet where the next trade will be.
function book(told) {
  const sum = levels => { let total = 0; return levels.map(level => ({ price: level.price, depth: total += level.quantity })); };
  const [sell, buy] = [sum(told.sell), sum(told.buy)];
  const all = [...sell, ...buy];
  if (all.length === 0) return el('p', { class: 'soft' }, 'The book is empty.');
  const prices = all.map(level => level.price);
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const most = Math.max(...all.map(level => level.depth));
  const x = scale(low, high, LEFT, WIDTH - RIGHT);
  const y = scale(0, most, HEIGHT - BOTTOM, TOP);
  const area = (levels, kind, edge) => {
    if (levels.length === 0) return null;
    const floor = HEIGHT - BOTTOM;
    let path = `M ${x(levels[0].price)} ${floor}`;
    levels.forEach((level, n) => { path += ` V ${y(level.depth)} H ${n + 1 < levels.length ? x(levels[n + 1].price) : edge}`; });
    return svg('path', { class: `book ${kind}`, d: `${path} V ${floor} Z` });
  };
  const best = levels => (levels.length === 0 ? 'none' : `${number(levels[0].price)} won`);
  return svg('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', id: 'book', 'aria-label': `Order book: cheapest offer ${best(told.sell)}, dearest wish ${best(told.buy)}` },
    axis(ticks(0, most), y, number),
    area(buy, 'buy', LEFT), area(sell, 'sell', WIDTH - RIGHT),
    svg('text', { x: LEFT, y: HEIGHT - 8 }, `${number(low)} won`),
    svg('text', { x: WIDTH - RIGHT, y: HEIGHT - 8, 'text-anchor': 'end' }, `${number(high)} won`),
    svg('text', { x: WIDTH - RIGHT, y: TOP + 12, 'text-anchor': 'end' }, 'offered (sell) right, wanted (buy) left'));
}

function show(told) {
  const level = one => [number(one.price), number(one.quantity)];
  const columns = [['Won', true], ['Bids', true]];
  return [
    el('h2', {}, `${told.product.brand} ${told.product.name} `, el('span', { class: 'tag' }, `product ${told.product.id}, ${number(told.product.price)} won`)),
    el('div', { class: 'columns' }, el('div', {}, el('h3', {}, 'Order book'), book(told)), el('div', {}, el('h3', {}, 'Trades'), trades(told))),
    el('div', { class: 'thirds' },
      table('Offered (sell), cheapest first', columns, told.sell.map(level)), table('Wanted (buy), dearest first', columns, told.buy.map(level)),
      table('Trades, newest first', [['Order', true], ['Won', true], ['When']], told.trades.slice(0, 20).map(trade => [
        el('a', { href: `#trace/order:${trade.id}` }, String(trade.id)), number(trade.price), time(trade.at)])))];
}

export function open(place, id) {
  const input = el('input', { id: 'product', name: 'name', autocomplete: 'off', size: 30 });
  const form = el('form', { class: 'row' }, el('div', {}, el('label', { for: 'product' }, "A product's number, or a part of its name"), input), el('button', { type: 'submit', class: 'main' }, 'Show'));
  const products = el('ul', { id: 'products' });
  const shown = el('div', { id: 'shown' });
  place.append(form, products, shown);
  let isOpen = true;
  let timer = null;
  async function search(name) {
    try {
      const found = await get(`products?name=${encodeURIComponent(name)}`);
      if (!isOpen) return;
      products.replaceChildren(...found.map(one => el('li', {}, el('a', { href: `#market/${one.id}` }, `${one.brand} ${one.name}`), ` (${one.id})`)));
      say(found.length === 0 ? 'No product has that in its name.' : `${number(found.length)} products.`);
    } catch (error) {
      if (isOpen) say(error.message);
    }
  }
  form.addEventListener('submit', event => {
    event.preventDefault();
    const wanted = input.value.trim();
    if (/^\d+$/.test(wanted)) location.hash = `#market/${wanted}`;
    else search(wanted);
  });
  async function look() {
    try {
      const told = await get(`products/${encodeURIComponent(id)}/market`);
      if (!isOpen) return;
      const focused = shown.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
      shown.replaceChildren(...show(told));
      if (focused) shown.querySelector(`a[href="${focused}"]`)?.focus();
      say('');
    } catch (error) {
      if (!isOpen) return;
      say(error.message);
      if (error.status === 404) return;
    }
    timer = setTimeout(look, EVERY_MS);
  }
  if (id === '') search('');
  else look();
  return () => { isOpen = false; clearTimeout(timer); };
}
