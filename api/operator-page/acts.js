// Acts on dead letters: asked for with a reason, then watched until they have ended.

import { get, post } from './call.js';
import { el, number, say, span } from './dom.js';

const LOOK_MS = 300;
const SAY_EVERY_MS = 3_000;
const NAMES = { replay: 'Replay', discard: 'Discard', restore: 'Restore' };
const MEANS = {
  replay: 'Each letter goes back to where it came from. What was done already is answered, and done no second time.',
  discard: 'These commands are given up. They are kept for 30 days, and can be restored so long.',
};

// A dialog that wants a reason; `then` once the act has begun. The focus goes back to what opened it.
export function ask(what, selection, words, opener, then) {
  const refused = el('p', { class: 'refused', role: 'alert' });
  const rate = el('input', { id: 'act-rate', name: 'per_second', type: 'number', min: 1, max: 10_000, value: 100, required: true });
  const form = el('form', { method: 'dialog' },
    el('h2', { id: 'act-title' }, `${NAMES[what]}: ${words}`),
    el('p', {}, MEANS[what]),
    what === 'replay' && [el('label', { for: 'act-rate' }, 'Letters a second, at most'), rate],
    el('label', { for: 'act-why' }, 'Why (is recorded with your login id)'),
    el('textarea', { id: 'act-why', name: 'why', rows: 2, maxlength: 500, required: true }),
    refused,
    el('div', { class: 'buttons' },
      el('button', { type: 'submit', class: what === 'discard' ? 'danger' : 'main', id: 'act-begin' }, `${NAMES[what]} these letters`),
      el('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel')));
  const dialog = el('dialog', { 'aria-labelledby': 'act-title' }, form);
  form.addEventListener('submit', async event => {
    event.preventDefault();
    const { why, per_second: perSecond } = Object.fromEntries(new FormData(form));
    try {
      await post('acts', { what, why, selection, ...(what === 'replay' ? { per_second: Number(perSecond) } : {}) });
      dialog.close();
      then();
    } catch (error) {
      refused.textContent = error.message;
    }
  });
  dialog.addEventListener('close', () => { dialog.remove(); if (opener?.isConnected) opener.focus(); });
  document.body.append(dialog);
  dialog.showModal();
  form.querySelector('textarea').focus();
}

// Brings a discarded letter back.
export function restoreForm(then) {
  const refused = el('p', { class: 'refused', role: 'alert' });
  const form = el('form', { id: 'restore' },
    el('h2', {}, 'Restore a discarded letter'),
    el('div', { class: 'row' },
      el('div', {}, el('label', { for: 'r-id' }, "Command's id, or the letter's 16 digits"), el('input', { id: 'r-id', name: 'id', required: true, size: 38, autocomplete: 'off' })),
      el('div', {}, el('label', { for: 'r-why' }, 'Why'), el('input', { id: 'r-why', name: 'why', required: true, maxlength: 500, size: 40, autocomplete: 'off' })),
      el('button', { type: 'submit' }, 'Restore')),
    refused);
  form.addEventListener('submit', async event => {
    event.preventDefault();
    refused.textContent = '';
    try {
      await post('acts', { what: 'restore', ...Object.fromEntries(new FormData(form)) });
      form.reset();
      then();
    } catch (error) {
      refused.textContent = error.message;
    }
  });
  return form;
}

function ended(act) {
  if (act.end.failed) return `${NAMES[act.what]} stopped: ${act.end.failed}`;
  const done = act.end.done;
  if (act.what === 'replay') {
    return `${number(done.replayed)} of ${number(done.selected)} letters are on their way, in ${span(done.took_ms)} (action ${done.action})`
      + (done.is_interrupted ? '; stopped, the others lie where they lay.' : '.');
  }
  const refused = done.refused.length > 0 ? `; ${number(done.refused.length)} were left alone: ${done.refused[0][1]}` : '';
  return `${NAMES[act.what]}: done with ${number(done.acted_on)} of ${number(done.selected)} letters (action ${done.action})${refused}.`;
}

// Shows the act under way, or the latest one, until it has ended.
export async function underWay(place, isOpen, then, hasBegun) {
  let act = await get('acts/current').catch(() => null);
  if (act === null || !isOpen()) return;
  if (act.end !== null) {
    place.replaceChildren(el('p', { class: 'soft', id: 'ended' }, `Latest, by ${act.who}: ${ended(act)}`));
    if (!hasBegun) return;
    place.replaceChildren(el('p', { id: 'ended' }, ended(act)));
    await then();
    say(ended(act));
    return;
  }
  const bar = el('progress', { 'aria-label': `${NAMES[act.what]} under way` });
  const text = el('p', { class: 'soft' });
  const halt = el('button', { type: 'button', id: 'stop', onclick: async () => { halt.disabled = true; await post('acts/stop').catch(error => say(error.message)); } }, 'Stop');
  place.replaceChildren(el('section', { class: 'group' }, el('h3', {}, `${NAMES[act.what]} by ${act.who}: ${act.why}`), bar, text, halt));
  let saidAt = 0;
  while (isOpen() && act.end === null) {
    const { selected, replayed } = act.progress;
    if (selected > 0) { bar.max = selected; bar.value = replayed; }
    const line = `${number(replayed)} of ${number(selected)} letters${act.is_stopping ? '; stopping' : ''}`;
    text.textContent = line;
    if (Date.now() - saidAt > SAY_EVERY_MS) { say(line); saidAt = Date.now(); }
    await new Promise(resolve => setTimeout(resolve, LOOK_MS));
    act = await get('acts/current').catch(() => act);
  }
  if (!isOpen()) return;
  place.replaceChildren(el('p', { id: 'ended' }, ended(act)));
  await then();
  say(ended(act));
}
