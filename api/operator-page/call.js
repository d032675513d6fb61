// Calls of the operators' API. The header is what no other page can send.

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

let signedOut = () => {};
export const whenSignedOut = then => { signedOut = then; };

async function call(method, path, body) {
  const headers = { 'Gream-Operator': 'page' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(`/operator/api/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused(0, 'the API does not answer: is its process running?');
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  if (answer.status === 401 && path !== 'sign-in') signedOut();
  throw new Refused(answer.status, told.error ?? told.message ?? `refused with status ${answer.status}`);
}

export const get = path => call('GET', path);
export const post = (path, body = {}) => call('POST', path, body);
