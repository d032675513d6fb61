// The pipeline live: what fires, roles, partitions, the scheduler's duties. Asked for every two seconds while it is seen.

import { get } from './call.js';
import { brief, el, number, rate, say, span, table } from './dom.js';

export const title = 'Pipeline';
const EVERY_MS = 2_000;

const tile = (name, value, more, kind) => el('li', {}, name, el('b', { class: kind }, value), el('span', { class: 'soft' }, more));

const soon = text => el('span', { class: 'line' }, text);

// Of a breaker that lets calls pass the counts are left to `gream breaker`.
const breaker = ({ passes, told }) => {
  const text = told.replace(/^Toss: (closed: |open: )?/, '');
  return passes ? text.split(';')[0] : text;
};

function tiles(told) {
  const sum = field => Object.values(told.queues ?? {}).reduce((total, role) => total + role[field], 0);
  const known = told.queues !== null;
  const dead = sum('dead');
  const waits = what => (what.oldest_ms === null ? 'none waits' : `the oldest for ${span(what.oldest_ms)}`);
  return el('ul', { class: 'tiles' },
    tile('Waiting', known ? number(sum('waiting')) : '–', `${known ? number(sum('retrying')) : '–'} to be tried again`),
    tile('Dead letters', known ? number(dead) : '–', dead > 0 ? el('a', { href: '#letters' }, 'look at them') : 'none', dead > 0 ? 'warn' : 'good'),
    tile('Outbox', number(told.outbox.count), waits(told.outbox)),
    tile('Overdue bids', number(told.overdue_bids.count), waits(told.overdue_bids)),
    tile('Breaker to Toss', told.breaker.passes ? 'closed' : 'open', breaker(told.breaker), told.breaker.passes ? 'good' : 'bad'),
    tile('Differences with Toss', number(told.differences), '', told.differences > 0 ? 'bad' : 'good'),
    tile('Audit findings', number(told.audit.findings), audited(told), told.audit.findings > 0 ? 'bad' : 'good'));
}

// When the live audit last came by everything.
function audited({ at, audit }) {
  const ended = Object.values(audit.walks);
  return ended.length === 0 || ended.includes(null) ? 'its first round goes on' : `all was seen ${brief(at - Math.min(...ended))} ago`;
}

const firing = told => (told.firing.length === 0
  ? [el('li', { class: 'calm' }, 'Nothing that is seen from here needs anybody.')]
  : told.firing.map(one => el('li', { class: one.is_urgent ? 'urgent' : null },
    el('b', {}, one.alert), ` ${one.is_urgent ? '(urgent) ' : ''}`, one.says, ' ',
    el('span', { class: 'soft' }, `docs/runbook/${one.alert}.md`))));

// What operators turned: that a role rests, or takes other batches than are configured.
function turned({ limits, last }) {
  const parts = [limits.is_paused && 'paused', limits.batch_max !== null && `batch ${number(limits.batch_max)}`,
    limits.concurrency !== null && `${number(limits.concurrency)} at once`].filter(Boolean);
  return parts.length === 0 ? null : el('span', { class: 'tag' }, `${parts.join(', ')} (${last?.by ?? '?'}: ${last?.why ?? '?'})`);
}

function roles(told) {
  if (told.queues === null) return el('p', { class: 'warn' }, `Queues are not known: ${told.queues_unknown}`);
  const rows = Object.entries(told.queues).map(([role, queues]) => {
    const flow = told.flows[role] ?? { consumers: 0, in_per_s: 0, out_per_s: 0 };
    return [[role, ' ', told.limits.filter(one => one.role === role).map(turned)], number(flow.consumers), number(queues.waiting), number(queues.unacked), number(queues.retrying),
      el('span', { class: queues.dead > 0 ? 'warn' : null }, number(queues.dead)), rate(flow.in_per_s), rate(flow.out_per_s)];
  });
  return table('Roles and their queues', [['Role'], ['Consumers', true], ['Waiting', true], ['In hand', true],
    ['To be retried', true], ['Dead', true], ['In / s', true], ['Out / s', true]], rows);
}

function partitions(told) {
  const rows = told.partitions.map(one => [number(one.partition),
    one.holder === '' ? el('span', { class: 'soft' }, 'nobody yet') : el('span', { class: 'id' }, one.holder),
    one.holder_seen_ms === null ? (one.holder === '' ? '–' : 'has left') : soon(`${brief(one.holder_seen_ms)} ago`),
    number(one.flow?.consumers), number(one.waiting), rate(one.flow?.out_per_s), number(one.epoch)]);
  return table('Partitions of the order books', [['Number', true], ['Carried out last by'], ['Alive'], ['Consumers', true],
    ['Waiting', true], ['Out / s', true], ['Moves', true]], rows);
}

function duties(told) {
  const rows = told.duties.map(duty => {
    const next = duty.next_run_at === null ? '–' : duty.next_run_at >= told.at ? `in ${brief(duty.next_run_at - told.at)}` : `${brief(told.at - duty.next_run_at)} late`;
    const result = duty.last_run_at === null ? 'never ran' : duty.error ?? 'ok';
    return [duty.duty, duty.last_run_at === null ? 'never' : soon(`${brief(told.at - duty.last_run_at)} ago`), brief(duty.duration_ms),
      number(duty.items), brief(duty.lag_ms), soon(next), el('span', { class: result === 'ok' ? 'good' : 'bad' }, result)];
  });
  return table("The scheduler's duties", [['Duty'], ['Last run'], ['Took', true], ['Items', true], ['Behind', true], ['Next run'], ['Result']], rows);
}

export function open(place) {
  const alarms = el('ul', { class: 'firing', id: 'firing', 'aria-live': 'polite', 'aria-label': 'Conditions of alerts that hold now' });
  const rest = el('div', { id: 'pipeline' });
  place.append(alarms, rest);
  let shown = '';
  let timer = null;
  let isOpen = true;
  async function look() {
    try {
      const told = await get('pipeline');
      if (!isOpen) return;
      // Said anew only when it is news.
      const news = JSON.stringify(told.firing);
      if (news !== shown) alarms.replaceChildren(...firing(told));
      shown = news;
      // A link that has the focus keeps it.
      const hadFocus = rest.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
      rest.replaceChildren(tiles(told), roles(told), el('div', { class: 'columns' }, partitions(told), duties(told)));
      if (hadFocus) rest.querySelector(`a[href="${hadFocus}"]`)?.focus();
      rest.dataset.at = told.at;
      say('');
    } catch (error) {
      if (isOpen) say(`Not up to date: ${error.message}`);
    }
    if (isOpen) timer = setTimeout(look, EVERY_MS);
  }
  look();
  return () => { isOpen = false; clearTimeout(timer); };
}
