// Drives the TypeScript SDK's client, v2: calls as JSON lines on standard input, answers on standard output.

import { createInterface } from 'node:readline';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const target = JSON.parse(process.argv[2]);
const mode = target.protocol < '2026' ? 'legacy' : { pin: target.protocol };
const client = new Client({ name: 'typescript-v2', version: '2' }, { versionNegotiation: { mode } });
const transport = target.url
  ? new StreamableHTTPClientTransport(new URL(target.url))
  : new StdioClientTransport(target);

const calls = {
  'tools/list': () => client.listTools(),
  'tools/call': (params) => client.callTool(params),
  'resources/list': () => client.listResources(),
  'resources/templates/list': () => client.listResourceTemplates(),
  'resources/read': (params) => client.readResource(params),
};
const answer = (message) => process.stdout.write(JSON.stringify(message) + '\n');

await client.connect(transport);
answer({ protocol: client.getNegotiatedProtocolVersion() });
for await (const line of createInterface({ input: process.stdin })) {
  const { method, params } = JSON.parse(line);
  try {
    answer({ result: await calls[method](params) });
  } catch (error) {
    answer({ error: String(error) });
  }
}
await client.close();
