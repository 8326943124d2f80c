// What the drivers of both TypeScript SDKs need for OAuth: a provider that keeps all in memory, the page that the
// browser brings the code to, and calls as JSON lines.

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

export const target = JSON.parse(process.argv[2]);
export const answer = (message) => process.stdout.write(JSON.stringify(message) + '\n');

let bring;
export const brought = new Promise((resolve) => (bring = resolve));
const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://127.0.0.1');
  if (url.pathname === '/callback') bring(url.searchParams);
  response.setHeader('connection', 'close');
  response.end('You can close this page.');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const redirectUrl = `http://127.0.0.1:${server.address().port}/callback`;

const kept = {};
export const provider = {
  redirectUrl,
  clientMetadataUrl: target.client_metadata_url,
  clientMetadata: {
    client_name: target.name,
    redirect_uris: [redirectUrl],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    ...(target.public ? { token_endpoint_auth_method: 'none' } : {}),
  },
  state: () => (kept.state ??= crypto.randomUUID()),
  clientInformation: () => kept.client,
  saveClientInformation: (client) => (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => (kept.tokens = tokens),
  redirectToAuthorization: (url) => answer({ authorize: String(url) }),
  saveCodeVerifier: (verifier) => (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  discoveryState: () => kept.discovery,
  saveDiscoveryState: (state) => (kept.discovery = state),
  invalidateCredentials: (scope) => {
    if (scope === 'all' || scope === 'tokens') delete kept.tokens;
    if (scope === 'all' || scope === 'client') delete kept.client;
  },
};

/** Connect, after the user has let us in; `finish` gives the transport what the browser brought. */
export async function connect(makeClient, makeTransport, finish) {
  let transport = makeTransport();
  let client = makeClient();
  try {
    await client.connect(transport);
    // A client with a configured protocol version connects without a request.
    await client.listTools();
    throw new Error('nobody was asked');
  } catch (error) {
    if (!/unauthorized/i.test(`${error.constructor.name} ${error}`)) throw error;
  }
  const parameters = await brought;
  if (parameters.get('state') !== kept.state) throw new Error('the state is not ours');
  await finish(transport, parameters);
  transport = makeTransport();
  client = makeClient();
  await client.connect(transport);
  await client.listTools();
  return { client, transport };
}

export async function serveCalls(client) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { method, params } = JSON.parse(line);
    try {
      if (method === 'leave') answer({ result: {} });
      else if (method === 'tokens') answer({ result: { ...kept.tokens, client_id: kept.client.client_id } });
      else answer({ result: await client.callTool(params) });
    } catch (error) {
      answer({ error: `${error.constructor.name}: ${error}` });
    }
  }
  await client.close();
  server.close();
}
