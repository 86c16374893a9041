// The official Anthropic SDK for Node: every generation runs this one text.
//
// Never here: expectations (`expected.py` has them).
import { GIVEN, check, listOf, main, raised, retryAfter, untilBroken, version } from './checks.mjs';

const { default: Anthropic, APIError } = await import(version.module);
const USER = [{ role: 'user', content: 'Hello' }];
// The played model says as many words as it may.
const ROOM = 8;
const clients = new Map();

function sdk(place, { retries = 0, key = place.key } = {}) {
  const name = `${place.url} ${key} ${retries}`;
  const options = { baseURL: place.url, apiKey: key, timeout: 30_000, maxRetries: retries };
  if (!clients.has(name)) clients.set(name, new Anthropic(options));
  return clients.get(name);
}

const filled = (place, asked) => ({ model: place.model, max_tokens: ROOM, messages: USER, ...asked });
const ask = (place, asked = {}, how = {}) => sdk(place, how).messages.create(filled(place, asked));
const helper = (place, asked = {}) => sdk(place).messages.stream(filled(place, asked));

function told(error) {
  if (!(error instanceof APIError) || error.status === undefined) {
    return { raised: error.constructor.name, text: String(error).slice(0, 300) };
  }
  const id = error.requestID ?? error.request_id;
  return {
    status: error.status,
    kind: error.error.error.type,
    retry_after: retryAfter(error.headers),
    request_id: Boolean(id) && error.error.request_id === id,
  };
}

const tools = () =>
  [GIVEN.weather, GIVEN.time].map((f) => ({ name: f.name, description: f.description, input_schema: f.parameters }));
const blocks = (message, kind) => message.content.filter((block) => block.type === kind);
const textOf = (message) =>
  blocks(message, 'text')
    .map((block) => block.text)
    .join('');
const thoughtOf = (message) =>
  blocks(message, 'thinking')
    .map((block) => block.thinking)
    .join('');
const used = (usage) => [usage.input_tokens, usage.output_tokens];
const pieceOf = (event) =>
  event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : undefined;
const called = (message) => {
  const calls = blocks(message, 'tool_use');
  return {
    calls: calls.map((call) => [call.name, call.input]),
    end: message.stop_reason,
    ids: new Set(calls.map((call) => call.id)).size,
  };
};

check('messages', 'whole', async (place) => {
  const answer = await ask(place, { temperature: 0.5, top_k: 20, system: 'Be brief.' });
  return { text: textOf(answer), end: answer.stop_reason, usage: used(answer.usage), model: answer.model };
});

// The bare events: what was counted at the beginning may be a guess, the last count is not.
check('messages', 'stream silence', async (place) => {
  const events = await listOf(ask(place, { stream: true }));
  const texts = events.map(pieceOf).filter(Boolean);
  const last = events.filter((event) => event.type === 'message_delta');
  return {
    text: texts.join(''),
    in_pieces: texts.length > 1,
    ends: last.map((event) => event.delta.stop_reason),
    ids: new Set(events.filter((event) => event.type === 'message_start').map((event) => event.message.id)).size,
    usage: used(last.at(-1).usage),
  };
});

check('messages', 'helper_stream', async (place) => {
  const stream = helper(place);
  const texts = [];
  stream.on('text', (text) => texts.push(text));
  const final = await stream.finalMessage();
  return { text: texts.join(''), whole_text: textOf(final), end: final.stop_reason, usage: used(final.usage) };
});

check('messages', 'brief', async (place) => {
  const answer = await ask(place, { max_tokens: 16 });
  return { text: textOf(answer), end: answer.stop_reason, usage: used(answer.usage) };
});

check('messages', 'brief_stream', async (place) => {
  const texts = (await listOf(ask(place, { max_tokens: 16, stream: true }))).map(pieceOf).filter(Boolean);
  return { text: texts.join(''), in_pieces: texts.length > 1 };
});

check('messages', 'tools', async (place) => called(await ask(place, { tools: tools() })));

check('messages', 'tools_stream', async (place) => {
  const stream = helper(place, { tools: tools() });
  const spelled = new Map();
  stream.on('streamEvent', (event) => {
    if (event.type !== 'content_block_delta' || event.delta.type !== 'input_json_delta') return;
    spelled.set(event.index, (spelled.get(event.index) ?? '') + event.delta.partial_json);
  });
  const final = await stream.finalMessage();
  return { ...called(final), spelled: [...spelled.values()].map((text) => JSON.parse(text)) };
});

const think = { max_tokens: 4096, thinking: { type: 'enabled', budget_tokens: 1024 } };

// Everything that came goes back: a thought with its signature, before the call.
check('messages', 'loop replay', async (place) => {
  const first = await ask(place, { ...think, tools: tools() });
  const [call] = blocks(first, 'tool_use');
  const result = { type: 'tool_result', tool_use_id: call.id, content: [{ type: 'text', text: '22 degrees' }] };
  const history = [...USER, { role: 'assistant', content: first.content }, { role: 'user', content: [result] }];
  const answer = await ask(place, { ...think, tools: tools(), messages: history });
  return { calls: [[call.name, call.input]], text: textOf(answer) };
});

check('messages', 'forced', async (place) => {
  const asked = () => ask(place, { tools: tools(), tool_choice: { type: 'tool', name: 'get_weather' } });
  return place.upstream === 'openai' ? { calls: called(await asked()).calls } : raised(asked, told);
});

check('messages', 'json', async (place) => {
  const format = { type: 'json_schema', schema: GIVEN.city };
  const answer = await sdk(place).messages.parse(filled(place, { output_config: { format } }));
  return { parsed: answer.parsed_output ?? JSON.parse(textOf(answer)) };
});

check('messages', 'thinking', async (place) => {
  const answer = await ask(place, think);
  return { thought: thoughtOf(answer), text: textOf(answer) };
});

check('messages', 'thinking_stream', async (place) => {
  const stream = helper(place, think);
  let thought = '';
  stream.on('thinking', (delta) => (thought += delta));
  const final = await stream.finalMessage();
  if (thoughtOf(final) !== thought) throw new Error(`${thoughtOf(final)} is not ${thought}`);
  return { thought, text: textOf(final) };
});

check('messages', 'image', async (place) => {
  const source = { type: 'base64', media_type: 'image/png', data: GIVEN.png };
  const content = [
    { type: 'image', source },
    { type: 'text', text: 'What is this?' },
  ];
  return { text: textOf(await ask(place, { messages: [{ role: 'user', content }] })) };
});

check('messages', 'length', async (place) => {
  const answer = await ask(place, { max_tokens: 2 });
  return { text: textOf(answer), end: answer.stop_reason };
});

check('messages', 'count', async (place) => {
  const count = async (asked) => (await sdk(place).messages.countTokens({ model: place.model, ...asked })).input_tokens;
  const little = await count({ messages: USER });
  const much = await count({ messages: Array(20).fill(USER[0]), tools: tools() });
  return { counted: little > 0 && little < much };
});

const unknown = { model: 'absent.messages:1b' };
check('messages', 'wrong_key', (place) => raised(() => ask(place, {}, { key: 'sk-wrong', retries: 2 }), told));
// The other header in which this SDK can send a secret.
check('messages', 'bearer', async (place) => {
  const other = new Anthropic({ baseURL: place.url, authToken: place.key, maxRetries: 0 });
  return { text: textOf(await other.messages.create(filled(place, {}))) };
});
check('messages', 'unknown_model', (place) => raised(() => ask(place, unknown, { retries: 2 }), told));
check('messages', 'bad_request', (place) => raised(() => ask(place, { max_tokens: 0 }, { retries: 2 }), told));
check('messages', 'refusal', (place) => raised(() => ask(place, think, { retries: 2 }), told));
check('messages', 'fault', (place) => raised(() => ask(place, {}, { retries: 2 }), told));
check('messages', 'fault_stream', (place) => raised(() => listOf(ask(place, { stream: true })), told));
check('messages', 'busy break_whole', (place) => raised(() => ask(place), told));

check('messages', 'rate_limit', async (place) => {
  await ask(place);
  return raised(() => ask(place), told);
});

check('messages', 'rate_wait', async (place) => {
  const texts = [];
  for (const _ of [1, 2]) texts.push(textOf(await ask(place, {}, { retries: 2 })));
  return { texts };
});

check('messages', 'break_error break_cut break_short', (place) =>
  untilBroken(() => ask(place, { stream: true }), pieceOf),
);
check('messages', 'helper_break_short', (place) => untilBroken(() => helper(place), pieceOf));

check('models_anthropic', 'list', async (place) => ({ models: (await listOf(sdk(place).models.list())).map((m) => m.id).sort() }));
check('models_anthropic', 'retrieve', async (place) => ({ id: (await sdk(place).models.retrieve(place.model)).id }));
check('models_anthropic', 'unknown_model', (place) => raised(() => sdk(place).models.retrieve('absent/model:1b'), told));

await main();
