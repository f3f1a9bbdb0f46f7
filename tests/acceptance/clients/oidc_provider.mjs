// A certified OpenID Connect provider (npm oidc-provider) on this machine, as anybody could
// run one. It says where it is, hears where it leads back to, and then serves.
//
//   node oidc_provider.mjs LIBRARY ALG PUSHED
//
// LIBRARY is the folder that ./x setup installs into, ALG signs its ID tokens, and PUSHED is
// yes or no: whether it takes what it is asked before a browser comes.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { generateKeyPairSync } from 'node:crypto';
import { pathToFileURL } from 'node:url';

// What the library notices along the way is no line of ours.
console.info = console.error;

const [library, alg, pushed] = process.argv.slice(2);
const { default: Provider } = await import(
  pathToFileURL(`${library}/node_modules/oidc-provider/lib/index.js`)
);

const SECRET = 'client-secret canary+9c1e';
const kinds = {
  RS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
};
// It always has one of RS256, which the standard asks for.
const keys = [...new Set(['RS256', alg])].map((name) => ({
  ...generateKeyPairSync(...kinds[name]).privateKey.export({ format: 'jwk' }),
  kid: `key-${name}`,
  use: 'sig',
}));
const groups = { anna: ['ops', 'people'], bert: ['people'] };

const server = createServer((request, response) => handle(request, response));
let handle = (_, response) => response.writeHead(503).end();
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  console.log(JSON.stringify({ url, secret: SECRET }));
});

createInterface({ input: process.stdin }).once('line', (redirect_uri) => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    jwks: { keys },
    clients: [
      {
        client_id: 'procura',
        client_secret: SECRET,
        redirect_uris: [redirect_uri],
        response_types: ['code'],
        grant_types: ['authorization_code'],
        id_token_signed_response_alg: alg,
      },
    ],
    scopes: ['openid', 'profile', 'groups'],
    claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
    // What is asked for stands in the ID token.
    conformIdTokenClaims: false,
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, groups: groups[id] ?? [] }),
    }),
    pkce: { required: () => true, methods: ['S256'] },
    cookies: { keys: ['a key of this run'] },
    features: {
      devInteractions: { enabled: true },
      pushedAuthorizationRequests: { enabled: pushed === 'yes' },
    },
  });
  for (const event of ['authorization.error', 'grant.error', 'pushed_authorization_request.error', 'server_error']) {
    provider.on(event, (_, error) => console.error(event, error.message, error.error_description));
  }
  handle = provider.callback();
  console.log(JSON.stringify({ serves: redirect_uri }));
});
