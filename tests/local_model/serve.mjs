// A small real model behind OpenAI's chat interface: node serve.mjs MODEL.gguf; prints its port.
import http from "node:http";
import { getLlama, LlamaChatSession } from "node-llama-cpp";

const llama = await getLlama({ build: "never", gpu: false, progressLogs: false, logLevel: "error" });
const model = await llama.loadModel({ modelPath: process.argv[2] });
// One thread: several spin while they wait for each other, which is slow where the machine is busy.
const vectors = await model.createEmbeddingContext({ contextSize: 512, threads: 1 });

async function chat(body, onTextChunk) {
  const context = await model.createContext({ contextSize: 2048, threads: 1 });
  try {
    const session = new LlamaChatSession({ contextSequence: context.getSequence() });
    const history = body.messages.slice(0, -1).map(({ role, content }) =>
      role === "assistant" ? { type: "model", response: [content] } : { type: role, text: content },
    );
    session.setChatHistory(history);
    const schema = body.response_format?.json_schema?.schema;
    const text = await session.prompt(body.messages.at(-1).content, {
      maxTokens: body.max_tokens ?? 64,
      temperature: body.temperature ?? 0,
      grammar: schema && (await llama.createGrammarForJsonSchema(schema)),
      onTextChunk,
    });
    const meter = session.sequence.tokenMeter;
    const [prompt_tokens, completion_tokens] = [meter.usedInputTokens, meter.usedOutputTokens];
    return { text, usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens } };
  } finally {
    await context.dispose();
  }
}

async function answer(request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = JSON.parse(Buffer.concat(parts));
  if (request.url === "/v1/embeddings") {
    const data = [];
    for (const [index, text] of body.input.entries()) {
      data.push({ object: "embedding", index, embedding: (await vectors.getEmbeddingFor(text)).vector });
    }
    const tokens = body.input.reduce((sum, text) => sum + model.tokenize(text).length, 0);
    return send(response, { object: "list", data, usage: { prompt_tokens: tokens, total_tokens: tokens } });
  }
  const head = { id: "chatcmpl-local", created: 0, model: body.model };
  if (!body.stream) {
    const { text, usage } = await chat(body);
    const message = { role: "assistant", content: text };
    const choices = [{ index: 0, message, finish_reason: "stop" }];
    return send(response, { ...head, object: "chat.completion", choices, usage });
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const event = (members) =>
    response.write(`data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", ...members })}\n\n`);
  const { usage } = await chat(body, (content) => event({ choices: [{ index: 0, delta: { content } }] }));
  event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  event({ choices: [], usage });
  response.end("data: [DONE]\n\n");
}

function send(response, value) {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

const server = http.createServer((request, response) =>
  answer(request, response).catch((error) => {
    response.writeHead(500, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { message: String(error) } }));
  }),
);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
