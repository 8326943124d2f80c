// A small host of MCP Apps: a real client of the server, and the real AppBridge of ext-apps between it and the view.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import {
  AppBridge,
  PostMessageTransport,
  RESOURCE_MIME_TYPE,
  getToolUiResourceUri,
} from "@modelcontextprotocol/ext-apps/app-bridge";

const INFO = { name: "test-host", version: "1.0.0" };
const SANDBOX = "http://sandbox.localhost/sandbox.html";

/** What the view did, for the test to ask about. */
const seen = { calls: [], contexts: [], sizes: [], modes: [] };

async function noted(url, init) {
  const { method, params } = JSON.parse(init.body);
  if (method === "tools/call") seen.calls.push(params);
  if (host.isOffline) throw new Error("The server cannot be reached.");
  return fetch(url, init);
}

async function connect() {
  const extensions = { "io.modelcontextprotocol/ui": { mimeTypes: [RESOURCE_MIME_TYPE] } };
  const client = new Client(INFO, { capabilities: { extensions }, versionNegotiation: { mode: "auto" } });
  await client.connect(new StreamableHTTPClientTransport(new URL("/mcp", location.href), { fetch: noted }));
  return client;
}

/** Calls the tool as a model would, and shows the result with the app that the tool names. */
async function show(name, args, context) {
  const client = await connect();
  const { tools } = await client.listTools();
  const tool = tools.find((each) => each.name === name);
  const uri = getToolUiResourceUri(tool);
  const {
    contents: [page],
  } = await client.readResource({ uri });
  if (page.mimeType !== RESOURCE_MIME_TYPE) throw new Error(`not an app: ${page.mimeType}`);

  const capabilities = { serverTools: {}, serverResources: {}, updateModelContext: { text: {} } };
  const bridge = new AppBridge(client, INFO, capabilities, {
    hostContext: { toolInfo: { tool }, displayMode: "inline", ...context },
  });
  const frame = document.createElement("iframe");
  frame.title = "Sandbox";
  const isReady = new Promise((resolve) => {
    bridge.onsandboxready = resolve;
  });
  const isInitialized = new Promise((resolve) => {
    bridge.oninitialized = resolve;
  });
  bridge.onsizechange = ({ height }) => {
    seen.sizes.push(height);
    if (height) frame.style.height = `${height}px`;
  };
  bridge.onupdatemodelcontext = async ({ content }) => {
    seen.contexts.push(content);
    return {};
  };
  bridge.onrequestdisplaymode = async ({ mode }) => {
    seen.modes.push(mode);
    return { mode };
  };
  document.body.append(frame);
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.src = SANDBOX;
  await isReady;
  await bridge.sendSandboxResourceReady({ html: page.text, sandbox: "allow-scripts", csp: page._meta?.ui?.csp });
  await isInitialized;
  await bridge.sendToolInput({ arguments: args });
  const result = await client.callTool({ name, arguments: args });
  await bridge.sendToolResult(result);
  Object.assign(host, { bridge, client, frame, meta: page._meta });
  return result;
}

const host = { show, seen, isOffline: false };
window.host = host;
