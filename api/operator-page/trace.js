// The life of a command, or of every command of a bid, an order, a payment, a refund or a user.

import { get } from './call.js';
import { el, facts, number, say, span, table, time, traceLink } from './dom.js';

export const title = 'Trace';

function life(one) {
  let before = null;
  const rows = one.steps.map(step => {
    const later = before === null ? '' : `+${span(step.at - before)}`;
    before = step.at;
    return [time(step.at), later, step.what, step.detail, step.took_ms === null ? '' : span(step.took_ms), step.by ?? ''];
  });
  const code = one.code && one.code !== 'Ok' ? ` (${one.code})` : '';
  return el('section', { class: 'life' },
    el('h3', {}, `${one.kind ?? 'command'}: ${one.state}${code}`),
    facts([['command', el('span', { class: 'id' }, one.id)], ['user', one.user === null ? null : traceLink(`user:${one.user}`)],
      ['attempts', number(one.attempts)], ['now', one.whereabouts],
      ['answered', one.data === null || Object.keys(one.data).length === 0 ? null : JSON.stringify(one.data)]]),
    table('What happened, oldest first', [['When'], ['Later', true], ['What'], ['Detail'], ['Took', true], ['By']], rows));
}

export function open(place, id) {
  const input = el('input', { id: 'subject', name: 'subject', required: true, size: 48, autocomplete: 'off', spellcheck: 'false', value: id });
  const form = el('form', { class: 'row' },
    el('div', {}, el('label', { for: 'subject' }, "A command's id, bid:N, order:N, refund:N, user:N or payment:ORDER_ID"), input),
    el('button', { type: 'submit', class: 'main' }, 'Trace'));
  const found = el('div', { id: 'traced', 'aria-live': 'polite' });
  place.append(form, found);
  let isOpen = true;
  form.addEventListener('submit', event => {
    event.preventDefault();
    const next = `#trace/${encodeURIComponent(input.value.trim())}`;
    if (location.hash === next) look(input.value.trim());
    else location.hash = next;
  });
  async function look(subject) {
    say('Tracing…');
    try {
      const trace = await get(`trace/${encodeURIComponent(subject)}`);
      if (!isOpen) return;
      found.replaceChildren(el('h2', {}, trace.subject), el('div', {}, trace.about.map(line => el('p', {}, line))),
        trace.is_cut ? el('p', { class: 'warn' }, `Only the latest ${number(trace.commands.length)} commands are shown.`) : '',
        ...trace.commands.map(life));
      say(`${number(trace.commands.length)} commands.`);
    } catch (error) {
      if (!isOpen) return;
      found.replaceChildren();
      say(error.message);
    }
  }
  if (id !== '') look(id);
  return () => { isOpen = false; };
}
