// Records passkey_chromium.json anew: `node record.mjs > passkey_chromium.json`.
//
// Chromium answers, with virtual authenticators over the DevTools protocol, for a page on
// this machine; grant bytes, thumbprints and entries are computed here from spec/ledger.md
// and spec/protocol.md, apart from the program. Needs Node 20 and Debian's `chromium`.
// Keys and ids of what the browser makes differ from one recording to the next.
import { spawn } from 'node:child_process';
import { createECDH, createHash, createPrivateKey } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest();
const text = (bytes) => Buffer.from(bytes).toString('base64url');
const u32 = (number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
};
const u64 = (number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
};
/** T(domain, f1 … fn), protocol.md §1. */
const tuple = (domain, ...fields) =>
  Buffer.concat([
    Buffer.from([domain.length]),
    Buffer.from(domain),
    ...fields.map(Buffer.from).flatMap((field) => [u32(field.length), field]),
  ]);
const uuid = (last) => `019acccc-cccc-7000-8000-${last.toString(16).padStart(12, '0')}`;
const raw = (id) => Buffer.from(id.replaceAll('-', ''), 'hex');
const time = (ms) => new Date(ms).toISOString();

const scalar = sha256('procura passkey vector');
const ecdh = createECDH('prime256v1');
ecdh.setPrivateKey(scalar);
const point = ecdh.getPublicKey();
const jwk = {
  kty: 'EC',
  crv: 'P-256',
  x: text(point.subarray(1, 33)),
  y: text(point.subarray(33)),
  d: text(scalar),
};
const pkcs8 = createPrivateKey({ key: jwk, format: 'jwk' }).export({ type: 'pkcs8', format: 'der' });
const credentialId = sha256('procura passkey vector credential');
const owner = sha256(tuple('procura.actor.owner.v1', Buffer.from([1]), point));

const server = createServer((_, answer) => {
  answer.setHeader('content-type', 'text/html');
  answer.end('<!doctype html><title>passkeys</title>');
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const origin = `http://localhost:${server.address().port}`;
const profile = mkdtempSync(join(tmpdir(), 'passkey-'));
const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-sync',
  '--disable-background-networking', '--disable-component-update',
  '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank',
];
const browser = spawn('chromium', flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
const [, , , out, back] = browser.stdio;
const waiting = new Map();
let [next, rest] = [0, ''];
back.on('data', (bytes) => {
  const messages = (rest + bytes).split('\0');
  rest = messages.pop();
  for (const message of messages.map((one) => JSON.parse(one))) {
    waiting.get(message.id)?.(message);
    waiting.delete(message.id);
  }
});
let sessionId;
const call = async (method, params = {}) => {
  const id = ++next;
  const answered = new Promise((resolve) => waiting.set(id, resolve));
  out.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  const { error, result } = await answered;
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
};
const inPage = async (expression) => {
  const script = `(async () => JSON.stringify((await ${expression}).toJSON()))()`;
  const { exceptionDetails, result } = await call('Runtime.evaluate', {
    expression: script,
    awaitPromise: true,
  });
  if (exceptionDetails) throw new Error(exceptionDetails.exception.description);
  return JSON.parse(result.value);
};
const made = ({ id, rawId, type, response, authenticatorAttachment, clientExtensionResults }) => {
  const { attestationObject, authenticatorData, clientDataJSON, signature, transports, userHandle } =
    response;
  const registered = { clientDataJSON, attestationObject, transports };
  const asserted = { clientDataJSON, authenticatorData, signature, userHandle };
  const kept = attestationObject ? registered : asserted;
  return { id, rawId, type, response: kept, clientExtensionResults, authenticatorAttachment };
};
const create = async (challenge, { alg, verification }) => {
  const options = {
    rp: { id: 'localhost', name: 'Procura' },
    user: { id: text(owner), name: 'alice', displayName: 'alice' },
    challenge,
    pubKeyCredParams: [{ type: 'public-key', alg }],
    timeout: 300000,
    excludeCredentials: [],
    authenticatorSelection: {
      residentKey: verification === 'required' ? 'preferred' : 'discouraged',
      requireResidentKey: false,
      userVerification: verification,
    },
    attestation: 'none',
  };
  const parsed = `PublicKeyCredential.parseCreationOptionsFromJSON(${JSON.stringify(options)})`;
  return made(await inPage(`navigator.credentials.create({ publicKey: ${parsed} })`));
};
const get = async (challenge, id, verification) => {
  const options = {
    challenge,
    timeout: 300000,
    rpId: 'localhost',
    allowCredentials: [{ type: 'public-key', id }],
    userVerification: verification,
  };
  const parsed = `PublicKeyCredential.parseRequestOptionsFromJSON(${JSON.stringify(options)})`;
  return made(await inPage(`navigator.credentials.get({ publicKey: ${parsed} })`));
};
const authenticator = (options) =>
  call('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      ctap2Version: 'ctap2_1',
      transport: 'usb',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
      ...options,
    },
  });

const { product } = await call('Browser.getVersion');
const { targetId } = await call('Target.createTarget', { url: origin });
({ sessionId } = await call('Target.attachToTarget', { targetId, flatten: true }));
while (
  (await call('Runtime.evaluate', { expression: `location.origin === '${origin}' && document.readyState` }))
    .result.value !== 'complete'
);
await call('WebAuthn.enable');
const ceremonies = [];
const unverified = { hasUserVerification: false, hasResidentKey: false, isUserVerified: false };
for (const [name, refused, options, { alg = -7, verification = 'required' } = {}] of [
  ['platform authenticator', null, { transport: 'internal' }],
  ['synced passkey', null, { transport: 'internal', defaultBackupEligibility: true, defaultBackupState: true }],
  ['security key', null, {}],
  ['nobody verified', 'not_verified', unverified, { verification: 'discouraged' }],
  ['RS256', 'algorithm', {}, { alg: -257 }],
]) {
  const { authenticatorId } = await authenticator(options);
  const first = text(sha256(`${name} registration`));
  const second = text(sha256(`${name} assertion`));
  const credential = await create(first, { alg, verification });
  const answer = await get(second, credential.id, verification);
  await call('WebAuthn.removeVirtualAuthenticator', { authenticatorId });
  ceremonies.push({
    name,
    refused,
    registration: { challenge: first, credential },
    assertion: { challenge: second, credential: answer },
  });
}

const from = Date.UTC(2026, 10, 18, 11, 6, 40);
const terms = {
  installation: uuid(1),
  grant: uuid(2),
  namespace: 'shop',
  agent: text(Buffer.alloc(32, 7)),
  project: 'web',
  delivery: 'env',
  from: time(from),
  until: time(from + 30 * 24 * 3600 * 1000),
  items: [{ name: 'API_KEY', path: 'stripe/key' }, { name: 'DB', path: 'app/db' }],
};
const grant = tuple(
  'procura.grant.v1', raw(terms.installation), raw(terms.grant), terms.namespace,
  Buffer.alloc(32, 7), terms.project, terms.delivery, u64(from), u64(Date.parse(terms.until)),
  u32(terms.items.length), ...terms.items.flatMap(({ name, path }) => [name, path]),
);
const message = tuple('procura.receipt.v1', grant);
const challenge = text(sha256(message));
const { authenticatorId } = await authenticator({ transport: 'internal' });
await call('WebAuthn.addCredential', {
  authenticatorId,
  credential: {
    credentialId: credentialId.toString('base64'),
    isResidentCredential: true,
    rpId: 'localhost',
    privateKey: pkcs8.toString('base64'),
    userHandle: owner.toString('base64'),
    signCount: 41,
  },
});
const credential = await get(challenge, text(credentialId), 'required');

const { kty, crv, x, y } = jwk;
const thumbprint = text(sha256(JSON.stringify({ crv, kty, x, y })));
const entry = (last, at, fields) =>
  JSON.stringify({
    v: 1,
    id: uuid(last),
    time: time(at),
    salt: text(Buffer.alloc(16, last)),
    phase: 'intent',
    ...fields,
    ip: '127.0.0.1',
    trace: uuid(last + 1),
  });
const who = { decision: 'allow', actor: text(owner), owner: text(owner) };
const enrolled = entry(16, from - 60000, {
  action: 'operator.passkey.enrol',
  ...who,
  resource: `passkey/${thumbprint} key:${text(point)} rp:localhost`,
  profile: 'join',
});
const approved = entry(18, from + 20000, {
  action: 'request.approve',
  ...who,
  session: text(Buffer.alloc(16, 3)),
  namespace: terms.namespace,
  resource: `request/${terms.grant}`,
  grant: terms.grant,
  approval: {
    grant: text(grant),
    approver: text(owner),
    device: thumbprint,
    key: { kty, crv, x, y },
    time: time(from + 20000),
    signature: credential.response.signature,
    assertion: {
      authenticator_data: credential.response.authenticatorData,
      client_data: credential.response.clientDataJSON,
    },
  },
  profile: 'web_login_passkey',
});
const recorded = {
  about: `Recorded from a browser that was not written here: ${product} (Debian), its virtual authenticators over the DevTools protocol. All bytes are base64url without padding.`,
  relying_party: 'localhost',
  origin,
  user_handle: text(owner),
  ceremonies,
  approval: {
    about: 'A whole approval. The private key is public: SHA-256 of the text "procura passkey vector" as a scalar of P-256. The entries are the exact bytes of the ledger.',
    private_key: jwk,
    terms,
    grant: text(grant),
    message: text(message),
    challenge,
    credential,
    origin_of_log: `procura/${terms.installation}`,
    entries: [enrolled, approved],
  },
};
const ended = new Promise((over) => browser.on('exit', over));
browser.kill();
await ended;
rmSync(profile, { recursive: true, force: true });
server.close();
console.log(JSON.stringify(recorded, null, 1));
