// What pages do with passkeys, the one thing that takes a script. A button says which
// ceremony it is, whom to ask for the options, where to send the answer, and where to go
// then; one that says no place to send it to fills it into its form, and sends that. Nothing
// here decides anything.
'use strict';

(() => {
  const CREATES = 'enrol';

  const problemOf = (button) => button.closest('section, div, form')?.querySelector('[data-problem]');

  const say = (button, text) => {
    const place = problemOf(button);
    if (!place) return;
    place.textContent = text;
    place.hidden = text === '';
  };

  // Asks the server, as this page and nobody else may.
  const call = async (button, path, body) => {
    const response = await fetch(path, {
      method: 'POST',
      credentials: 'same-origin',
      redirect: 'error',
      headers: {
        'content-type': 'application/json',
        'x-procura-csrf': button.dataset.csrf,
      },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    let answer = {};
    try { answer = text === '' ? {} : JSON.parse(text); } catch { /* said below */ }
    if (!response.ok) {
      const reason = answer.reason ? ` (${answer.reason})` : '';
      throw new Error((answer.detail || `The server answered ${response.status}.`) + reason);
    }
    return answer;
  };

  // What the page itself knows beside what the server says.
  const typed = (button) => {
    const found = {};
    const form = button.closest('form');
    for (const field of form ? form.querySelectorAll('[data-field]') : []) {
      if (!field.reportValidity()) return null;
      found[field.name] = field.value;
    }
    return found;
  };

  const ceremony = async (button) => {
    const own = typed(button);
    if (own === null) return;
    const asked = button.dataset.ceremony === CREATES ? { code: own.code } : own;
    const options = await call(button, button.dataset.ask, asked);
    const publicKey = button.dataset.ceremony === CREATES
      ? PublicKeyCredential.parseCreationOptionsFromJSON(options.publicKey)
      : PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey);
    const credential = button.dataset.ceremony === CREATES
      ? await navigator.credentials.create({ publicKey })
      : await navigator.credentials.get({ publicKey });
    const answer = { credential: credential.toJSON() };
    if (options.state !== undefined) answer.state = options.state;
    if (options.terms !== undefined) answer.terms = options.terms;
    if (button.dataset.send === undefined) {
      button.form.elements.answer.value = JSON.stringify(answer);
      button.form.submit();
      return;
    }
    await call(button, button.dataset.send, { ...own, ...answer });
    window.location.assign(button.dataset.then);
  };

  const can = typeof window.PublicKeyCredential === 'function'
    && typeof PublicKeyCredential.parseRequestOptionsFromJSON === 'function';
  for (const part of document.querySelectorAll('[data-passkeys]')) part.hidden = !can;
  for (const button of document.querySelectorAll('[data-ceremony]')) {
    button.disabled = !can;
    if (!can) say(button, 'This browser does not know passkeys.');
    const begin = async () => {
      say(button, '');
      button.disabled = true;
      try {
        await ceremony(button);
      } catch (error) {
        // A person who changed their mind is told so, and nothing was sent.
        const gone = error.name === 'NotAllowedError' || error.name === 'AbortError';
        say(button, gone ? 'No passkey was used, so nothing was done.' : error.message);
      } finally {
        button.disabled = false;
      }
    };
    // A form is never sent by itself: what it holds goes with the passkey.
    if (button.form) {
      button.form.addEventListener('submit', (event) => {
        event.preventDefault();
        begin();
      });
    } else {
      button.addEventListener('click', begin);
    }
  }
})();
