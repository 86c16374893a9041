// Vercel's AI SDK over four of its providers: the family's name says which, the surface says the dialect.
//
// Never here: expectations (`expected.py` has them).
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import * as ai from 'ai';
import { GIVEN, check, main, raised, retryAfter, version } from './checks.mjs';

// It writes warnings about settings to the output that the results go to.
globalThis.AI_SDK_LOG_WARNINGS = false;
const CHATS = 'chat responses messages';
const compatible = version.package.startsWith('@ai-sdk/openai-compatible');

function provider(place, key = place.key) {
  const baseURL = `${place.url}/v1`;
  if (place.surface === 'messages') return createAnthropic({ baseURL, apiKey: key });
  const able = { includeUsage: true, supportsStructuredOutputs: true };
  if (compatible) return createOpenAICompatible({ name: 'gateway', baseURL, apiKey: key, ...able });
  return createOpenAI({ baseURL, apiKey: key });
}

function model(place, { key, name = place.model } = {}) {
  const from = provider(place, key);
  if (place.surface === 'completions') return compatible ? from.completionModel(name) : from.completion(name);
  if (place.surface === 'responses') return from.responses(name);
  if (place.surface === 'messages') return from(name);
  return compatible ? from.chatModel(name) : from.chat(name);
}

const room = (place) => (place.surface === 'messages' ? { maxOutputTokens: 8 } : {});
const asked = (place, more = {}, how = {}) => ({ model: model(place, how), prompt: 'Hello', ...room(place), ...more });
const generate = (place, more, how) => ai.generateText(asked(place, more, how));

/** All parts of a stream; a failure is a part here, and is thrown so that it looks as elsewhere. */
async function parts(place, more = {}, how = {}) {
  const found = [];
  for await (const part of ai.streamText({ ...asked(place, more, how), onError() {} }).fullStream) found.push(part);
  return found;
}

function told(error) {
  // Repeated requests end in an error about repeating, with the last one inside.
  const last = error.lastError ?? error;
  if (last.statusCode === undefined) return { raised: error.name, text: String(error).slice(0, 300) };
  const body = JSON.parse(last.responseBody);
  const kind = last.data?.error?.code ?? body.error.code ?? body.error.type;
  const headers = last.responseHeaders;
  return {
    status: last.statusCode,
    kind,
    retry_after: retryAfter(headers),
    request_id: Boolean(headers['x-request-id']),
  };
}

const used = (usage) => [usage.inputTokens, usage.outputTokens];
const only = (found, type) => found.filter((part) => part.type === type);
const text = (found) =>
  only(found, 'text-delta')
    .map((part) => part.text)
    .join('');

check(`${CHATS} completions`, 'whole', async (place) => {
  const answer = await generate(place);
  return { text: answer.text, usage: used(answer.usage) };
});

check(`${CHATS} completions`, 'stream silence', async (place) => {
  const found = await parts(place);
  return { text: text(found), in_pieces: only(found, 'text-delta').length > 1 };
});

check(`${CHATS} completions`, 'usage', async (place) => {
  const found = await parts(place);
  return { text: text(found), usage: used(only(found, 'finish')[0].totalUsage) };
});

const tools = (execute) =>
  Object.fromEntries(
    [GIVEN.weather, GIVEN.time].map((f) => [
      f.name,
      ai.tool({ description: f.description, inputSchema: ai.jsonSchema(f.parameters), execute }),
    ]),
  );
const called = (calls) => ({
  calls: calls.map((call) => [call.toolName, call.input]),
  ids: new Set(calls.map((call) => call.toolCallId)).size,
});

check(CHATS, 'tools', async (place) => called((await generate(place, { tools: tools() })).toolCalls));
check(CHATS, 'tools_stream', async (place) => called(only(await parts(place, { tools: tools() }), 'tool-call')));

const agent = () => ({ tools: tools(async () => '22 degrees'), stopWhen: ai.stepCountIs(3) });

check(CHATS, 'loop', async (place) => {
  const answer = await generate(place, agent());
  return { calls: called(answer.steps.flatMap((step) => step.toolCalls)).calls, text: answer.text };
});

check(CHATS, 'loop_stream', async (place) => {
  const found = await parts(place, agent());
  return { calls: called(only(found, 'tool-call')).calls, text: text(found) };
});

check(CHATS, 'json', async (place) => {
  const providerOptions = { anthropic: { structuredOutputMode: 'outputFormat' } };
  const answer = await ai.generateObject(asked(place, { schema: ai.jsonSchema(GIVEN.city), providerOptions }));
  return { parsed: answer.object };
});

const thinker = (place) =>
  place.surface === 'messages'
    ? { maxOutputTokens: 4096, providerOptions: { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } } }
    : {
        providerOptions: {
          openai: { reasoningEffort: 'high', reasoningSummary: 'auto', forceReasoning: true },
          gateway: { reasoningEffort: 'high' },
        },
      };

check(CHATS, 'thinking', async (place) => {
  const answer = await generate(place, thinker(place));
  return { thought: answer.reasoningText, text: answer.text };
});

check(CHATS, 'thinking_stream', async (place) => {
  const found = await parts(place, thinker(place));
  const thought = only(found, 'reasoning-delta')
    .map((part) => part.text)
    .join('');
  return { thought, text: text(found) };
});

check(CHATS, 'image', async (place) => {
  const content = [
    { type: 'text', text: 'What is this?' },
    { type: 'image', image: Buffer.from(GIVEN.png, 'base64'), mediaType: 'image/png' },
  ];
  return { text: (await generate(place, { prompt: undefined, messages: [{ role: 'user', content }] })).text };
});

check(CHATS, 'wrong_key', (place) => raised(() => generate(place, {}, { key: 'sk-wrong' }), told));
check(CHATS, 'unknown_model', (place) => raised(() => generate(place, {}, { name: `absent.${place.surface}:1b` }), told));
check(CHATS, 'fault', (place) => raised(() => generate(place), told));
check(CHATS, 'refusal', (place) => raised(() => generate(place, thinker(place)), told));
check(CHATS, 'busy', (place) => raised(() => generate(place, { maxRetries: 0 }), told));

check(`${CHATS} completions`, 'break_error break_cut break_short', async (place) => {
  const found = await parts(place);
  return { text: text(found), raised: only(found, 'error').length > 0 };
});

const embedder = (place) =>
  compatible ? provider(place).embeddingModel(place.model) : provider(place).embedding(place.model);

check('embeddings', 'default', async (place) => {
  const answer = await ai.embed({ model: embedder(place), value: 'one text' });
  return { vectors: [answer.embedding], tokens: answer.usage.tokens };
});

check('embeddings', 'batch', async (place) => {
  const values = ['one text', 'two', 'three'];
  return { vectors: (await ai.embedMany({ model: embedder(place), values })).embeddings };
});

await main();
