// The official OpenAI SDK for Node: every generation runs this one text.
//
// Never here: expectations (`expected.py` has them).
import { GIVEN, check, listOf, main, raised, retryAfter, untilBroken, version } from './checks.mjs';

const { default: OpenAI, APIError } = await import(version.module);
const USER = [{ role: 'user', content: 'Hello' }];
const clients = new Map();

function sdk(place, { retries = 0, key = place.key } = {}) {
  const name = `${place.url} ${key} ${retries}`;
  const options = { baseURL: `${place.url}/v1`, apiKey: key, timeout: 30_000, maxRetries: retries };
  if (!clients.has(name)) clients.set(name, new OpenAI(options));
  return clients.get(name);
}

function told(error) {
  if (!(error instanceof APIError) || error.status === undefined) {
    return { raised: error.constructor.name, text: String(error).slice(0, 300) };
  }
  const id = error.requestID ?? error.request_id;
  return { status: error.status, kind: error.code, retry_after: retryAfter(error.headers), request_id: Boolean(id) };
}

const nested = (f) => ({ type: 'function', function: f });
const tools = () => [nested(GIVEN.weather), nested(GIVEN.time)];
const schema = () => ({ name: 'city', strict: true, schema: GIVEN.city });

// --- chat completions

const chat = (place, asked = {}, how = {}) =>
  sdk(place, how).chat.completions.create({ model: place.model, messages: USER, ...asked });
const chatText = (piece) => piece.choices[0]?.delta.content;
const used = (usage) => [usage.prompt_tokens, usage.completion_tokens];
const ends = (pieces) => pieces.flatMap((p) => p.choices.map((c) => c.finish_reason).filter(Boolean));
const ids = (pieces) => new Set(pieces.map((p) => p.id)).size;
const callsOf = (message) => message.tool_calls.map((c) => [c.function.name, JSON.parse(c.function.arguments)]);
const called = (choice) => ({
  calls: callsOf(choice.message),
  end: choice.finish_reason,
  ids: new Set(choice.message.tool_calls.map((c) => c.id)).size,
});

check('chat', 'whole', async (place) => {
  const answer = await chat(place, { temperature: 0.5, seed: 7 });
  const [choice] = answer.choices;
  return { text: choice.message.content, end: choice.finish_reason, usage: used(answer.usage), model: answer.model };
});

check('chat', 'stream silence', async (place) => {
  const pieces = await listOf(chat(place, { stream: true }));
  const texts = pieces.map(chatText).filter(Boolean);
  return { text: texts.join(''), in_pieces: texts.length > 1, ends: ends(pieces), ids: ids(pieces) };
});

check('chat', 'brief', async (place) => {
  const answer = await chat(place, { max_tokens: 16 });
  const [choice] = answer.choices;
  return { text: choice.message.content, end: choice.finish_reason, usage: used(answer.usage) };
});

check('chat', 'brief_stream', async (place) => {
  const texts = (await listOf(chat(place, { max_tokens: 16, stream: true }))).map(chatText).filter(Boolean);
  return { text: texts.join(''), in_pieces: texts.length > 1 };
});

check('chat', 'usage', async (place) => {
  const pieces = await listOf(chat(place, { stream: true, stream_options: { include_usage: true } }));
  return { text: pieces.map(chatText).join(''), usage: used(pieces.at(-1).usage) };
});

check('chat', 'tools', async (place) => called((await chat(place, { tools: tools() })).choices[0]));

const helped = (place, asked) => {
  const { completions } = sdk(place).chat;
  const body = { model: place.model, messages: USER, ...asked };
  // Before 5.0 the helper stood under `beta`.
  return completions.stream ? completions.stream(body) : sdk(place).beta.chat.completions.stream(body);
};

check('chat', 'tools_stream', async (place) =>
  called((await helped(place, { tools: tools() }).finalChatCompletion()).choices[0]),
);

// A program that sends the message back as it came sends the thought too.
check('chat', 'loop replay', async (place) => {
  const { message } = (await chat(place, { tools: tools() })).choices[0];
  const result = { role: 'tool', tool_call_id: message.tool_calls[0].id, content: '22 degrees' };
  const answer = await chat(place, { tools: tools(), messages: [...USER, message, result] });
  return { calls: callsOf(message), text: answer.choices[0].message.content };
});

check('chat', 'forced', async (place) => {
  const choice = { type: 'function', function: { name: 'get_weather' } };
  const ask = () => chat(place, { tools: tools(), tool_choice: choice });
  return place.upstream === 'openai' ? { calls: callsOf((await ask()).choices[0].message) } : raised(ask, told);
});

check('chat', 'json', async (place) => {
  const { completions } = sdk(place).chat;
  const parse = completions.parse ? completions : sdk(place).beta.chat.completions;
  const format = { type: 'json_schema', json_schema: schema() };
  const answer = await parse.parse({ model: place.model, messages: USER, response_format: format });
  const { message } = answer.choices[0];
  return { parsed: message.parsed ?? JSON.parse(message.content) };
});

check('chat', 'thinking', async (place) => {
  const { message } = (await chat(place, { reasoning_effort: 'high' })).choices[0];
  return { thought: message.reasoning, text: message.content };
});

check('chat', 'thinking_stream', async (place) => {
  const pieces = await listOf(chat(place, { reasoning_effort: 'high', stream: true }));
  const thought = pieces.map((p) => p.choices[0]?.delta.reasoning ?? '').join('');
  return { thought, text: pieces.map((p) => chatText(p) ?? '').join('') };
});

check('chat', 'image', async (place) => {
  const url = `data:image/png;base64,${GIVEN.png}`;
  const content = [
    { type: 'text', text: 'What is this?' },
    { type: 'image_url', image_url: { url } },
  ];
  return { text: (await chat(place, { messages: [{ role: 'user', content }] })).choices[0].message.content };
});

check('chat', 'length', async (place) => {
  const [choice] = (await chat(place, { max_completion_tokens: 2 })).choices;
  return { text: choice.message.content, end: choice.finish_reason };
});

check('chat', 'wrong_key', (place) => raised(() => chat(place, {}, { key: 'sk-wrong', retries: 2 }), told));
check('chat', 'unknown_model', (place) => raised(() => chat(place, { model: 'absent.chat:1b' }, { retries: 2 }), told));
check('chat', 'bad_request', (place) => raised(() => chat(place, { temperature: 3 }, { retries: 2 }), told));
check('chat', 'refusal', (place) => raised(() => chat(place, { reasoning_effort: 'high' }, { retries: 2 }), told));
check('chat', 'fault', (place) => raised(() => chat(place, {}, { retries: 2 }), told));
check('chat', 'fault_stream', (place) => raised(() => listOf(chat(place, { stream: true })), told));
check('chat', 'busy break_whole', (place) => raised(() => chat(place), told));

check('chat', 'rate_limit', async (place) => {
  await chat(place);
  return raised(() => chat(place), told);
});

check('chat', 'rate_wait', async (place) => {
  const texts = [];
  for (const _ of [1, 2]) texts.push((await chat(place, {}, { retries: 2 })).choices[0].message.content);
  return { texts };
});

check('chat', 'break_error break_cut break_short', (place) => untilBroken(() => chat(place, { stream: true }), chatText));
check('chat', 'helper_break_short', (place) => untilBroken(() => helped(place), chatText));

// --- Responses

const respond = (place, asked = {}, how = {}) =>
  sdk(place, how).responses.create({ model: place.model, input: 'Hello', ...asked });
const flatTools = () => [GIVEN.weather, GIVEN.time].map((f) => ({ type: 'function', strict: false, ...f }));
const respondText = (event) => (event.type === 'response.output_text.delta' ? event.delta : undefined);
const spent = (usage) => [usage.input_tokens, usage.output_tokens];
const items = (answer, kind) => answer.output.filter((item) => item.type === kind);
const textOf = (answer) =>
  items(answer, 'message')
    .flatMap((item) => item.content.map((part) => part.text))
    .join('');
const summary = (answer) =>
  items(answer, 'reasoning')
    .flatMap((item) => item.summary.map((part) => part.text))
    .join('');
const respondCalls = (answer) => {
  const calls = items(answer, 'function_call');
  return {
    calls: calls.map((c) => [c.name, JSON.parse(c.arguments)]),
    end: answer.status,
    ids: new Set(calls.map((c) => c.call_id)).size,
  };
};

check('responses', 'whole', async (place) => {
  const answer = await respond(place);
  return { text: answer.output_text, end: answer.status, usage: spent(answer.usage), model: answer.model };
});

check('responses', 'stream silence', async (place) => {
  const events = await listOf(respond(place, { stream: true }));
  const texts = events.map(respondText).filter(Boolean);
  const last = events.at(-1);
  return {
    text: texts.join(''),
    in_pieces: texts.length > 1,
    last: last.type,
    usage: spent(last.response.usage),
    whole_text: textOf(last.response),
    in_order: events.every((event, at) => event.sequence_number === at),
  };
});

check('responses', 'brief', async (place) => {
  const answer = await respond(place, { max_output_tokens: 16 });
  return { text: answer.output_text, end: answer.status, usage: spent(answer.usage) };
});

check('responses', 'brief_stream', async (place) => {
  const texts = (await listOf(respond(place, { max_output_tokens: 16, stream: true }))).map(respondText).filter(Boolean);
  return { text: texts.join(''), in_pieces: texts.length > 1 };
});

const respondHelper = (place, asked = {}) => sdk(place).responses.stream({ model: place.model, input: 'Hello', ...asked });

check('responses', 'helper_stream', async (place) => {
  const stream = respondHelper(place);
  const texts = [];
  stream.on('response.output_text.delta', (event) => texts.push(event.delta));
  const final = await stream.finalResponse();
  return { text: texts.join(''), whole_text: textOf(final), end: final.status };
});

check('responses', 'tools', async (place) => respondCalls(await respond(place, { tools: flatTools() })));

check('responses', 'tools_stream', async (place) => {
  const stream = respondHelper(place, { tools: flatTools() });
  const spelled = new Map();
  stream.on('response.function_call_arguments.delta', (event) => {
    spelled.set(event.output_index, (spelled.get(event.output_index) ?? '') + event.delta);
  });
  const answer = await stream.finalResponse();
  return { ...respondCalls(answer), spelled: [...spelled.values()].map((text) => JSON.parse(text)) };
});

// Stateless: everything that came is sent again, thoughts in a form that only their maker reads.
check('responses', 'loop replay', async (place) => {
  const keep = { tools: flatTools(), store: false, include: ['reasoning.encrypted_content'] };
  const first = await respond(place, keep);
  const [call] = items(first, 'function_call');
  const result = { type: 'function_call_output', call_id: call.call_id, output: '22 degrees' };
  const answer = await respond(place, { ...keep, input: [...USER, ...first.output, result] });
  return { calls: [[call.name, JSON.parse(call.arguments)]], text: answer.output_text };
});

check('responses', 'forced', async (place) => {
  const ask = () => respond(place, { tools: flatTools(), tool_choice: { type: 'function', name: 'get_weather' } });
  return place.upstream === 'openai' ? { calls: respondCalls(await ask()).calls } : raised(ask, told);
});

check('responses', 'json', async (place) => {
  const format = { type: 'json_schema', ...schema() };
  const answer = await sdk(place).responses.parse({ model: place.model, input: 'Hello', text: { format } });
  return { parsed: answer.output_parsed ?? JSON.parse(answer.output_text) };
});

const effort = { reasoning: { effort: 'high', summary: 'auto' } };

check('responses', 'thinking', async (place) => {
  const answer = await respond(place, effort);
  return { thought: summary(answer), text: answer.output_text };
});

check('responses', 'thinking_stream', async (place) => {
  const events = await listOf(respond(place, { ...effort, stream: true }));
  const thought = events.map((e) => (e.type === 'response.reasoning_summary_text.delta' ? e.delta : '')).join('');
  const text = events.map((e) => respondText(e) ?? '').join('');
  return { thought, text, whole_thought: summary(events.at(-1).response) };
});

check('responses', 'image', async (place) => {
  const content = [
    { type: 'input_text', text: 'What is this?' },
    { type: 'input_image', detail: 'auto', image_url: `data:image/png;base64,${GIVEN.png}` },
  ];
  return { text: (await respond(place, { input: [{ role: 'user', content }] })).output_text };
});

check('responses', 'length', async (place) => {
  const answer = await respond(place, { max_output_tokens: 16 });
  return { text: answer.output_text, end: answer.status, why: answer.incomplete_details.reason };
});

const unknown = { model: 'absent.responses:1b' };
check('responses', 'wrong_key', (place) => raised(() => respond(place, {}, { key: 'sk-wrong', retries: 2 }), told));
check('responses', 'unknown_model', (place) => raised(() => respond(place, unknown, { retries: 2 }), told));
check('responses', 'bad_request', (place) =>
  raised(() => respond(place, { previous_response_id: 'resp_1' }, { retries: 2 }), told),
);
check('responses', 'refusal', (place) => raised(() => respond(place, effort, { retries: 2 }), told));
check('responses', 'fault', (place) => raised(() => respond(place, {}, { retries: 2 }), told));
check('responses', 'fault_stream', (place) => raised(() => listOf(respond(place, { stream: true })), told));
check('responses', 'busy break_whole', (place) => raised(() => respond(place), told));

check('responses', 'rate_limit', async (place) => {
  await respond(place);
  return raised(() => respond(place), told);
});

// The plain iterator hands a failure on as an event; a program has to look at the last one.
check('responses', 'plain_break_error plain_break_cut plain_break_short', async (place) => {
  const events = await listOf(respond(place, { stream: true }));
  return { text: events.map((e) => respondText(e) ?? '').join(''), last: events.at(-1).type };
});

// This helper raises nothing, other than the one for chat: a program has to look at the status.
check('responses', 'helper_failed', async (place) => {
  const stream = respondHelper(place);
  let text = '';
  stream.on('response.output_text.delta', (event) => (text += event.delta));
  const { status } = await stream.finalResponse();
  return { text, end: status };
});

// --- the older completions

const complete = (place, asked = {}) =>
  sdk(place).completions.create({ model: place.model, prompt: 'Hello', ...asked });

check('completions', 'whole', async (place) => {
  const answer = await complete(place);
  const [choice] = answer.choices;
  return { text: choice.text, end: choice.finish_reason, usage: used(answer.usage), model: answer.model };
});

check('completions', 'stream silence', async (place) => {
  const pieces = await listOf(complete(place, { stream: true }));
  const texts = pieces.map((p) => p.choices[0]?.text).filter(Boolean);
  return { text: texts.join(''), in_pieces: texts.length > 1, ends: ends(pieces), ids: ids(pieces) };
});

check('completions', 'usage', async (place) => {
  const pieces = await listOf(complete(place, { stream: true, stream_options: { include_usage: true } }));
  return { text: pieces.map((p) => p.choices[0]?.text ?? '').join(''), usage: used(pieces.at(-1).usage) };
});

check('completions', 'bad_request', (place) => raised(() => complete(place, { prompt: ['a', 'b'] }), told));
check('completions', 'break_error break_cut break_short', (place) =>
  untilBroken(() => complete(place, { stream: true }), (p) => p.choices[0]?.text),
);

// --- embeddings

const embed = (place, input, asked = {}) => sdk(place).embeddings.create({ model: place.model, input, ...asked });
const vectors = (answer) => answer.data.map((entry) => [...entry.embedding]);

// The SDK asks for base64 by itself and unpacks it.
check('embeddings', 'default', async (place) => {
  const answer = await embed(place, 'one text');
  return { vectors: vectors(answer), tokens: answer.usage.prompt_tokens, model: answer.model };
});
check('embeddings', 'floats', async (place) => ({
  vectors: vectors(await embed(place, 'one text', { encoding_format: 'float' })),
}));
check('embeddings', 'batch', async (place) => {
  const answer = await embed(place, ['one text', 'two', 'three']);
  return { vectors: vectors(answer), order: answer.data.map((entry) => entry.index) };
});
check('embeddings', 'dimensions', async (place) => ({
  vectors: vectors(await embed(place, 'one text', { dimensions: 8 })),
}));
check('embeddings', 'unknown_model', (place) =>
  raised(() => embed(place, 'x', { model: 'absent.embeddings:1b' }), told),
);
check('embeddings', 'bad_request', (place) => raised(() => embed(place, [[1, 2, 3]]), told));

// --- models

check('models', 'list', async (place) => ({ models: (await listOf(sdk(place).models.list())).map((m) => m.id).sort() }));
check('models', 'retrieve', async (place) => ({ id: (await sdk(place).models.retrieve(place.model)).id }));
check('models', 'unknown_model', (place) => raised(() => sdk(place).models.retrieve('absent/model:1b'), told));

await main();
