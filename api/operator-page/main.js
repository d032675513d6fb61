// Signing in and out, and which view is shown: #pipeline, #letters, #trace/ID, #market/PRODUCT.

import { get, post, whenSignedOut } from './call.js';
import { el, say } from './dom.js';
import * as letters from './letters.js';
import * as market from './market.js';
import * as pipeline from './pipeline.js';
import * as trace from './trace.js';

const VIEWS = { pipeline, letters, trace, market };
const byId = id => document.getElementById(id);
let leave = null;
let isSignedIn = false;

// A hash may be anything that somebody typed.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function show() {
  if (!isSignedIn) return;
  const [name, ...rest] = location.hash.slice(1).split('/');
  if (name === 'view') return;
  const known = Object.hasOwn(VIEWS, name) ? name : 'pipeline';
  leave?.();
  for (const link of byId('views').querySelectorAll('a')) {
    if (link.hash === `#${known}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const view = VIEWS[known];
  document.title = `${view.title} · Gream operators`;
  const heading = el('h1', { tabindex: -1 }, view.title);
  const place = el('div');
  byId('content').replaceChildren(heading, place);
  say('');
  // A view gives back what ends it.
  leave = view.open(place, rest.map(decoded).join('/'));
  heading.focus();
}

function enter(session) {
  isSignedIn = true;
  byId('login').textContent = session.login_id;
  byId('mode').textContent = session.mode;
  byId('sign-in').hidden = true;
  for (const id of ['views', 'who', 'content']) byId(id).hidden = false;
  show();
}

function goOut(text) {
  leave?.();
  leave = null;
  isSignedIn = false;
  document.querySelector('dialog[open]')?.close();
  byId('content').replaceChildren();
  for (const id of ['views', 'who', 'content']) byId(id).hidden = true;
  byId('sign-in').hidden = false;
  say(text);
  byId('login-id').focus();
}

byId('sign-in').addEventListener('submit', async event => {
  event.preventDefault();
  const form = event.target;
  byId('refused').textContent = '';
  try {
    const session = await post('sign-in', Object.fromEntries(new FormData(form)));
    form.reset();
    enter(session);
  } catch (error) {
    byId('refused').textContent = error.message;
    byId('password').focus();
  }
});

byId('sign-out').addEventListener('click', async () => {
  await post('sign-out').catch(() => {});
  goOut('Signed out.');
});

whenSignedOut(() => { if (isSignedIn) goOut('Your session has ended: sign in again.'); });
addEventListener('hashchange', show);

try {
  enter(await get('session'));
} catch {
  goOut('');
}
