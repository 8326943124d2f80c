// Drives the MCP Inspector's CLI, one process and one connection per call: calls as JSON lines on standard input,
// answers on standard output.

import { execFile } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const target = JSON.parse(process.argv[2]);
const launcher = new URL(
  'clients/launcher/build/index.js',
  import.meta.resolve('@modelcontextprotocol/inspector/package.json'),
);
const common = ['--cli', '--protocol-era', target.protocol < '2026' ? 'legacy' : 'modern'];
const server = target.url
  ? ['--transport', 'http', '--server-url', target.url]
  : ['--transport', 'stdio', '--', target.command, ...target.args];
const pairs = (members) => Object.entries(members).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
const options = ({ name, arguments: given, uri }) => [
  ...(uri ? ['--uri', uri] : []),
  ...(name ? ['--tool-name', name] : []),
  ...(given && Object.keys(given).length ? ['--tool-arg', ...pairs(given)] : []),
];

const call = (method, params) =>
  new Promise((resolve) => {
    const command = [fileURLToPath(launcher), ...common, '--method', method, ...options(params), ...server];
    execFile(process.execPath, command, { env: { ...process.env, ...target.env } }, (_, stdout, stderr) => {
      // A tool's failure is a result too, though the process then ends with a status of its own.
      resolve(stdout.trim() ? { result: JSON.parse(stdout) } : { error: stderr });
    });
  });
const answer = (message) => process.stdout.write(JSON.stringify(message) + '\n');

const { result, error } = await call('initialize', {});
answer({ protocol: result?.protocolVersion, error });
for await (const line of createInterface({ input: process.stdin })) {
  const { method, params } = JSON.parse(line);
  answer(await call(method, params));
}
