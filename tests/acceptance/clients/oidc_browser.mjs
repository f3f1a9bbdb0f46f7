// A browser without a script: it keeps cookies as browsers do, leaves strict ones out where
// another site led it, follows redirects and Refresh, and fills in forms.
//
//   node oidc_browser.mjs ORIGIN
//
// A line on stdin is one thing to do, as JSON: {"as": ACCOUNT} signs in by the provider as
// somebody there, {"look": PATH} looks at a page, {"forget": NAME} forgets the cookies of a
// site by its host, {"again": true} comes back once more as it did last, {"changed":
// {"code"|"state"|"iss": TEXT}} does so with something else. It says where it came to.
import { createInterface } from 'node:readline';

const [origin] = process.argv.slice(2);
const jars = new Map();
let last;

const jar = (url) => {
  const { hostname } = new URL(url);
  if (!jars.has(hostname)) jars.set(hostname, new Map());
  return jars.get(hostname);
};

// Sites of tests are hosts: cookies of one host know no ports.
const site = (url) => new URL(url).hostname;

const keep = (url, response) => {
  for (const line of response.headers.getSetCookie()) {
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
    const attribute = (word) => attributes.find((one) => one.toLowerCase().startsWith(word));
    const age = attribute('max-age=')?.slice(8);
    const ends = attribute('expires=')?.slice(8);
    if (age === '0' || (ends && new Date(ends) < new Date())) jar(url).delete(name);
    else jar(url).set(name, { value, strict: /^samesite=strict$/i.test(attribute('samesite') ?? '') });
  }
};

// One request, led to from a page of `from`.
const load = async (url, from, form) => {
  const cross = from !== undefined && site(from) !== site(url);
  const cookies = [...jar(url)].filter(([, { strict }]) => !(strict && cross));
  const headers = { 'sec-fetch-site': from === undefined ? 'none' : cross ? 'cross-site' : 'same-origin' };
  if (cookies.length) headers.cookie = cookies.map(([name, { value }]) => `${name}=${value}`).join('; ');
  if (form) {
    headers['content-type'] = 'application/x-www-form-urlencoded';
    headers.origin = new URL(from).origin;
  }
  const response = await fetch(url, {
    method: form ? 'POST' : 'GET',
    body: form && new URLSearchParams(form).toString(),
    headers,
    redirect: 'manual',
  });
  keep(url, response);
  const refresh = response.headers.get('refresh')?.replace(/^0; url=/, '');
  const location = response.headers.get('location');
  return { url, status: response.status, location, refresh, text: await response.text() };
};

// To the end of what leads on by itself. Who was led by another site stays so through its
// redirects; a page that refreshes itself leads on from where it is.
const follow = async (url, from, form) => {
  let page = await load(url, from, form);
  for (let hops = 0; hops < 20; hops += 1) {
    if (page.url.startsWith(`${origin}/oidc/work/callback`)) last = { url: page.url, from };
    if (page.location) page = await load(new URL(page.location, page.url).href, from);
    else if (page.refresh) {
      from = page.url;
      page = await load(new URL(page.refresh, page.url).href, from);
    } else return page;
  }
  throw new Error('it leads on for ever');
};

const unescaped = (text) => text.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(code)).replace(/&amp;/g, '&');

const forms = (page) =>
  [...page.text.matchAll(/<form[^>]*>[\s\S]*?<\/form>/g)].map(([text]) => ({
    action: unescaped(/action="([^"]*)"/.exec(text)?.[1] ?? page.url),
    fields: Object.fromEntries(
      [...text.matchAll(/<input[^>]*>/g)].flatMap(([input]) => {
        const name = /name="([^"]*)"/.exec(input)?.[1];
        return name ? [[name, unescaped(/value="([^"]*)"/.exec(input)?.[1] ?? '')]] : [];
      }),
    ),
  }));

const send = (page, { action, fields }, typed = {}) =>
  follow(new URL(action, page.url).href, page.url, { ...fields, ...typed });

const said = (page) => ({
  at: new URL(page.url).origin + new URL(page.url).pathname,
  status: page.status,
  title: /<h1>([^<]*)<\/h1>/.exec(page.text)?.[1],
  who: /<span>([^<]*)<\/span>/.exec(page.text)?.[1],
  proof: /id="proof">([^<]*)</.exec(page.text)?.[1],
  codes: [...page.text.matchAll(/<code>([a-z_]*)<\/code>/g)].map(([, code]) => code),
  login: jar(origin).has('procura-login'),
  flow: jar(origin).has('procura-oidc'),
});

const signIn = async (account) => {
  const page = await load(`${origin}/sign-in`);
  const button = forms(page).find(({ action }) => action === '/oidc/work');
  let there = await send(page, button);
  // The provider asks who it is, and whether they agree; or it knows already.
  for (let asked = 0; asked < 4 && !there.url.startsWith(origin); asked += 1) {
    const form = forms(there).find(({ fields }) => fields.prompt);
    if (!form) throw new Error(`no form: ${there.url} ${there.status} ${there.text}`);
    there = await send(there, form, form.fields.prompt === 'login' ? { login: account, password: 'x' } : {});
  }
  return there;
};

for await (const line of createInterface({ input: process.stdin })) {
  const todo = JSON.parse(line);
  let page;
  if (todo.as) page = await signIn(todo.as);
  else if (todo.look) page = await follow(origin + todo.look);
  else if (todo.forget) {
    jars.delete(todo.forget);
    page = await load(`${origin}/sign-in`);
  } else {
    const url = new URL(last.url);
    for (const [name, text] of Object.entries(todo.changed ?? {})) url.searchParams.set(name, text);
    page = await follow(url.href, last.from);
  }
  console.log(JSON.stringify(said(page)));
}
