// Drives the TypeScript SDK's client, v2, with its own OAuth.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { answer, connect, provider, serveCalls, target } from './oauth.mjs';

const mode = target.protocol < '2026' ? 'legacy' : { pin: target.protocol };
const { client } = await connect(
  () => new Client({ name: 'typescript-v2', version: '2' }, { versionNegotiation: { mode } }),
  () => new StreamableHTTPClientTransport(new URL(target.url), { authProvider: provider }),
  (waiting, parameters) => waiting.finishAuth(parameters),
);
answer({ protocol: client.getNegotiatedProtocolVersion() });
await serveCalls(client);
