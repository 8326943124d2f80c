// Drives the TypeScript SDK's client, v1, with its own OAuth.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { answer, connect, provider, serveCalls, target } from './oauth.mjs';

const { client, transport } = await connect(
  () => new Client({ name: 'typescript-v1', version: '1' }),
  () => new StreamableHTTPClientTransport(new URL(target.url), { authProvider: provider }),
  (waiting, parameters) => waiting.finishAuth(parameters.get('code')),
);
answer({ protocol: transport.protocolVersion });
await serveCalls(client);
