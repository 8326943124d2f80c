// Drives the TypeScript SDK's client, v1: calls as JSON lines on standard input, answers on standard output.

import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const target = JSON.parse(process.argv[2]);
const client = new Client({ name: 'typescript-v1', version: '1' });
const transport = target.url
  ? new StreamableHTTPClientTransport(new URL(target.url))
  : new StdioClientTransport(target);
// This client keeps the version that was agreed on to itself, and tells its transport.
let protocol;
const tell = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (version) => {
  protocol = version;
  tell?.(version);
};

const calls = {
  'tools/list': () => client.listTools(),
  'tools/call': (params) => client.callTool(params),
  'resources/list': () => client.listResources(),
  'resources/templates/list': () => client.listResourceTemplates(),
  'resources/read': (params) => client.readResource(params),
};
const answer = (message) => process.stdout.write(JSON.stringify(message) + '\n');

await client.connect(transport);
answer({ protocol });
for await (const line of createInterface({ input: process.stdin })) {
  const { method, params } = JSON.parse(line);
  try {
    answer({ result: await calls[method](params) });
  } catch (error) {
    answer({ error: String(error) });
  }
}
await client.close();
