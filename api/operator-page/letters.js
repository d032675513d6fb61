// Dead letters: by cause, one by one, what a replay would come to; and the acts on them (acts.js).

import { ask, restoreForm, underWay } from './acts.js';
import { get, post } from './call.js';
import { brief, el, facts, number, say, span, table, time, traceLink } from './dom.js';

export const title = 'Dead letters';

const ofGroup = group => ({ role: group.role, reason: group.reason, kind: group.kind });

// What a selection says, for people.
export function words(selection) {
  const parts = Object.entries(selection).filter(([, value]) => value !== '' && value !== null && value !== undefined && value !== false)
    .map(([name, value]) => (name === 'all' ? 'every dead letter' : `${name.replaceAll('_', ' ')} ${Array.isArray(value) ? value.join(', ') : value}`));
  return parts.join(', ');
}

function groupCard(group, on) {
  const selection = ofGroup(group);
  const name = `${group.reason}, ${group.kind} (${group.role})`;
  const button = (text, then, kind) => el('button', { type: 'button', class: kind, 'aria-label': `${text}: ${name}`, onclick: event => then(selection, event.target) }, text);
  return el('section', { class: 'group', 'data-reason': group.reason, 'data-kind': group.kind },
    el('h3', {}, `${number(group.letters)} × ${group.reason} · ${group.kind} `, el('span', { class: 'tag' }, group.role)),
    el('p', { class: 'soft' }, `failed last between ${brief(group.oldest_ms)} and ${brief(group.newest_ms)} ago; such as `, el('span', { class: 'id' }, group.example)),
    el('ul', {}, group.errors.map(([error, count]) => el('li', {}, `${number(count)} × ${error === '' ? 'no error was told' : error}`))),
    el('p', {}, group.next),
    el('div', { class: 'buttons' },
      button('Letters', on.letters), button('Dry run', on.dryRun), button('Replay…', on.replay, 'main'), button('Discard…', on.discard, 'danger')));
}

function detail(whole) {
  return el('section', { class: 'life' },
    el('h3', {}, `${whole.kind} on dead.${whole.role}`),
    facts([
      ['command', whole.id.length > 16 ? traceLink(whole.id) : null], ['letter', whole.key], ['reason', whole.reason], ['error', whole.error],
      ['next', whole.next], ['a replay', `${whole.prediction}: ${whole.why}`], ['the inbox says', whole.state ?? 'nothing'],
      ['attempts', number(whole.attempts)], ['replayed', `${number(whole.replays)} times, revision ${number(whole.revision)}`],
      ['failed', `first ${time(whole.first_failed_at)}, last ${time(whole.last_failed_at)}`], ['accepted', time(whole.accepted_at)],
      ['origin', whole.origin], ['user', whole.user === null ? null : traceLink(`user:${whole.user}`)]]),
    el('pre', { tabindex: 0, 'aria-label': 'Message' }, JSON.stringify(whole.body, null, 2)));
}

export function open(place) {
  const below = el('div', { id: 'below', tabindex: -1, 'aria-live': 'polite' });
  const groups = el('div', { id: 'groups' });
  const progress = el('div', { id: 'act' });
  const taken = el('p', { class: 'soft', id: 'taken' });
  const history = el('div', { id: 'recorded' });
  let isOpen = true;

  const told = async (what, work) => {
    say(`${what}…`);
    try {
      const result = await work();
      if (isOpen) say('');
      return result;
    } catch (error) {
      if (isOpen) say(error.message);
      return null;
    }
  };
  const showBelow = (...children) => { below.replaceChildren(...children.flat()); below.focus(); below.scrollIntoView({ block: 'nearest' }); };

  async function list() {
    const listing = await told('Looking into the queues', () => get('letters'));
    if (!isOpen || listing === null) return;
    taken.textContent = `${number(listing.letters)} dead letters at ${time(listing.taken_at)}`
      + (listing.unread > 0 ? `; ${number(listing.unread)} more were not read: too many, or in somebody's hands` : '');
    groups.replaceChildren(...listing.groups.map(group => groupCard(group, on)));
    say(listing.letters === 0 ? 'There are no dead letters.' : `${number(listing.letters)} dead letters in ${number(listing.groups.length)} ${listing.groups.length === 1 ? 'group' : 'groups'}.`);
  }

  async function record() {
    const recorded = await get('acts').catch(() => []);
    if (!isOpen) return;
    if (recorded.length === 0) return void history.replaceChildren(el('p', { class: 'soft' }, 'Nobody has acted on dead letters yet.'));
    history.replaceChildren(table('What people did', [['When'], ['What'], ['Who'], ['Why'], ['Done', true], ['Meant', true], ['End']], recorded.map(one => [
      time(one.begun_at), one.what, one.who, one.why, number(one.acted_on), number(one.selected),
      one.failure ?? (one.ended_at === null ? 'runs, or was cut short' : `took ${span(one.ended_at - one.begun_at)}`)])));
  }

  const afterAct = async () => { below.replaceChildren(); await Promise.all([list(), record()]); };
  const watch = hasBegun => underWay(progress, () => isOpen, afterAct, hasBegun);
  const begin = (what, selection, opener) => ask(what, selection, words(selection), opener, () => watch(true));

  const on = {
    async letters(selection) {
      const found = await told('Looking', () => post('letters/find', selection));
      if (found === null) return;
      const rows = found.letters.map(letter => [
        el('button', { type: 'button', class: 'id', onclick: () => on.one(letter.id) }, letter.id),
        letter.kind, letter.error, number(letter.attempts), number(letter.replays), time(letter.last_failed_at)]);
      const more = found.more > 0 ? `, and ${number(found.more)} more` : '';
      showBelow(el('h2', {}, words(selection) || 'All letters'), table(`${number(found.letters.length)} letters${more}, oldest first`,
        [['Letter'], ['Kind'], ['Error'], ['Attempts', true], ['Replays', true], ['Failed last']], rows));
    },
    async one(id) {
      const found = await told('Looking', () => get(`letters/${encodeURIComponent(id)}`));
      if (found === null) return;
      showBelow(el('h2', {}, `Letter ${id}`),
        el('div', { class: 'buttons' },
          el('button', { type: 'button', class: 'main', onclick: event => begin('replay', { ids: [id] }, event.target) }, 'Replay it…'),
          el('button', { type: 'button', class: 'danger', onclick: event => begin('discard', { ids: [id] }, event.target) }, 'Discard it…')),
        found.map(detail));
    },
    async dryRun(selection) {
      const foreseen = await told('Foreseeing', () => post('letters/dry-run', selection));
      if (foreseen === null) return;
      const more = foreseen.more > 0 ? `, and ${number(foreseen.more)} more` : '';
      showBelow(el('h2', {}, `Dry run: ${words(selection) || 'all letters'}`), el('p', {}, 'Nothing was changed.'),
        el('ul', { id: 'foreseen' }, Object.entries(foreseen.counts).map(([prediction, count]) => el('li', {}, `${number(count)} × ${prediction}`))),
        table(`${number(foreseen.letters.length)} letters${more}`, [['Letter'], ['Kind'], ['A replay'], ['Because']], foreseen.letters.map(letter => [
          el('button', { type: 'button', class: 'id', onclick: () => on.one(letter.id) }, letter.id), letter.kind, letter.prediction, letter.why])));
    },
    replay: (selection, opener) => begin('replay', selection, opener),
    discard: (selection, opener) => begin('discard', selection, opener),
  };

  place.append(
    el('div', { class: 'row' }, el('button', { type: 'button', id: 'look', onclick: list }, 'Look again'), taken),
    progress, groups, filterForm(on), below, restoreForm(() => watch(true)), history);
  list();
  record();
  watch(false);
  return () => { isOpen = false; };
}

// Any selection, beside the groups.
function filterForm(on) {
  const field = (name, label, attributes = {}) => el('div', {}, el('label', { for: `f-${name}` }, label), el('input', { id: `f-${name}`, name, autocomplete: 'off', ...attributes }));
  const role = el('div', {}, el('label', { for: 'f-role' }, 'Role'), el('select', { id: 'f-role', name: 'role' },
    el('option', { value: '' }, 'any'), ['bid', 'payment', 'refund', 'notifier'].map(name => el('option', { value: name }, name))));
  const form = el('form', { id: 'filter' },
    el('h2', {}, 'By filter'),
    el('div', { class: 'row' }, role, field('reason', 'Reason'), field('kind', 'Kind'), field('error', 'Error contains'),
      field('older', 'Failed longer ago than, minutes', { type: 'number', min: 0 }), field('at_most', 'At most', { type: 'number', min: 1, max: 5000 })),
    el('div', { class: 'buttons' }, [['letters', 'Letters'], ['dryRun', 'Dry run'], ['replay', 'Replay…'], ['discard', 'Discard…']]
      .map(([then, text]) => el('button', { type: 'submit', value: then }, text))));
  form.addEventListener('submit', event => {
    event.preventDefault();
    const { role, reason, kind, error, older, at_most: most } = Object.fromEntries(new FormData(form));
    const selection = Object.fromEntries(Object.entries({ role, reason, kind, error }).filter(([, value]) => value !== ''));
    if (older !== '') selection.older_than_ms = Math.round(Number(older) * 60_000);
    if (most !== '') selection.at_most = Number(most);
    const then = event.submitter?.value || 'letters';
    if (Object.keys(selection).length === 0 && (then === 'replay' || then === 'discard')) selection.all = true;
    on[then](selection, event.submitter);
  });
  return form;
}
