// The official Node SDK against the gateway. `test_sdk_node.py` starts both ends and names them in the environment.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import OpenAI from 'openai';

const { GATEWAY_URL, GATEWAY_KEY, PLAY_CONTROL } = process.env;
const CREATED_AT = '2026-01-02T03:04:05.678901Z';
const messages = [{ role: 'user', content: 'Hello' }];
const model = 'qwen3:32b';
const tools = [
  {
    type: 'function',
    function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
  },
];

const client = (options = {}) =>
  new OpenAI({ baseURL: `${GATEWAY_URL}/v1`, apiKey: GATEWAY_KEY, maxRetries: 0, timeout: 20_000, ...options });

async function order(path, body) {
  const answer = await fetch(`${PLAY_CONTROL}${path}`, { method: 'POST', body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

const chats = async () => {
  const all = await (await fetch(`${PLAY_CONTROL}/requests`)).json();
  return all.filter((r) => r.path === '/api/chat').map((r) => JSON.parse(r.body));
};

const line = (content, more = {}) => {
  const { thinking, tool_calls, ...rest } = more;
  const message = { role: 'assistant', content, thinking, tool_calls };
  const end = rest.done ? { done_reason: 'stop', prompt_eval_count: 11, eval_count: 18 } : {};
  return `${JSON.stringify({ model, created_at: CREATED_AT, message, done: false, ...end, ...rest })}\n`;
};
const streamed = (...steps) => ({
  headers: [['content-type', 'application/x-ndjson']],
  steps: steps.map((s) => (typeof s === 'string' && s.endsWith('\n') ? { text: s } : s)),
});
const whole = (text, status = 200) => ({
  status,
  headers: [['content-type', 'application/json']],
  framing: 'length',
  steps: [{ text }],
});
const play = (...answers) => order('/script', { path: '/api/chat', answers });
const EIGHT = ' w0 w1 w2 w3 w4 w5 w6 w7';

beforeEach(() => order('/reset', {}));

test('chat', async () => {
  const answer = await client().chat.completions.create({ model, messages });
  assert.equal(answer.choices[0].message.content, EIGHT);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.deepEqual(answer.usage, { prompt_tokens: 11, completion_tokens: 8, total_tokens: 19 });
  assert.match(answer._request_id, /.+/);
});

test('stream with usage', async () => {
  const body = { model, messages, stream: true, stream_options: { include_usage: true } };
  let text = '';
  let usage;
  for await (const chunk of await client().chat.completions.create(body)) {
    text += chunk.choices[0]?.delta.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, EIGHT);
  assert.equal(usage.completion_tokens, 8);
});

test('pieces arrive when they are made', async () => {
  await play(streamed(line('one'), { gate: 'second' }, line(' two'), line('', { done: true })));
  const stream = await client().chat.completions.create({ model, messages, stream: true });
  let text = '';
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    if (text === 'one') await order('/gate', { name: 'second' });
  }
  assert.equal(text, 'one two');
});

test('tools there and back', async () => {
  const call = { id: 'call_1', function: { index: 0, name: 'get_weather', arguments: { city: 'Paris' } } };
  await play(whole(line('', { done: true, tool_calls: [call] })), whole(line('Sunny', { done: true })));
  const first = await client().chat.completions.create({ model, messages, tools });
  const { message, finish_reason } = first.choices[0];
  assert.equal(finish_reason, 'tool_calls');
  assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: 'Paris' });
  const history = [...messages, message, { role: 'tool', tool_call_id: 'call_1', content: '22 C' }];
  const second = await client().chat.completions.create({ model, messages: history, tools });
  assert.equal(second.choices[0].message.content, 'Sunny');
  assert.equal((await chats())[1].messages[2].tool_name, 'get_weather');
});

test('streamed tool calls stay apart', async () => {
  const call = (name) => line('', { tool_calls: [{ function: { index: 0, name, arguments: { name } } }] });
  await play(streamed(call('a'), call('b'), line('', { done: true })));
  const final = await client().chat.completions.stream({ model, messages, tools }).finalChatCompletion();
  const calls = final.choices[0].message.tool_calls.map((c) => [c.function.name, c.function.arguments]);
  assert.deepEqual(calls, [
    ['a', '{"name":"a"}'],
    ['b', '{"name":"b"}'],
  ]);
});

test('vision request', async () => {
  const url = 'data:image/png;base64,iVBORw0KGgo=';
  const content = [
    { type: 'text', text: 'What?' },
    { type: 'image_url', image_url: { url } },
  ];
  await client().chat.completions.create({ model, messages: [{ role: 'user', content }] });
  assert.deepEqual((await chats())[0].messages[0], { role: 'user', content: 'What?', images: ['iVBORw0KGgo='] });
});

test('structured output', async () => {
  await play(whole(line('{"name":"Paris"}', { done: true })));
  const schema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
  const response_format = { type: 'json_schema', json_schema: { name: 'city', strict: true, schema } };
  const answer = await client().chat.completions.create({ model, messages, response_format });
  assert.deepEqual(JSON.parse(answer.choices[0].message.content), { name: 'Paris' });
  assert.deepEqual((await chats())[0].format, schema);
});

test('logprobs', async () => {
  const logprobs = [{ token: 'Hi', logprob: -0.25 }];
  await play(whole(line('Hi', { done: true, logprobs })));
  const answer = await client().chat.completions.create({ model, messages, logprobs: true });
  assert.deepEqual(answer.choices[0].logprobs.content, [
    { token: 'Hi', logprob: -0.25, bytes: null, top_logprobs: [] },
  ]);
});

test('thinking', async () => {
  await play(streamed(line('', { thinking: 'Let me see' }), line('42'), line('', { done: true })));
  const body = { model, messages, stream: true, reasoning_effort: 'low' };
  let thought = '';
  let text = '';
  for await (const chunk of await client().chat.completions.create(body)) {
    thought += chunk.choices[0]?.delta.reasoning ?? '';
    text += chunk.choices[0]?.delta.content ?? '';
  }
  assert.deepEqual([thought, text], ['Let me see', '42']);
  assert.equal((await chats())[0].think, 'low');
});

test('models', async () => {
  const ids = [];
  for await (const entry of client().models.list()) ids.push(entry.id);
  assert.deepEqual(ids, [model]);
  assert.equal((await client().models.retrieve(model)).id, model);
  await assert.rejects(client().models.retrieve('absent'), { status: 404, code: 'model_not_found' });
});

test('refusals carry status, code and request id', async () => {
  await assert.rejects(client({ apiKey: 'wrong' }).chat.completions.create({ model, messages }), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, 'invalid_api_key');
    assert.match(error.requestID, /.+/);
    return true;
  });
  const hot = client().chat.completions.create({ model, messages, temperature: 3 });
  await assert.rejects(hot, { status: 400, param: 'temperature' });
  await assert.rejects(client().chat.completions.create({ model: 'absent', messages }), { status: 404 });
  assert.equal((await chats()).filter((body) => body.model === model).length, 0);
});

test('the SDK tries again on a broken upstream and not on a caller fault', async () => {
  const broken = whole('{"error":"model runner has unexpectedly stopped"}', 500);
  await play(broken, broken, whole(line('ok', { done: true })));
  const answer = await client({ maxRetries: 2 }).chat.completions.create({ model, messages });
  assert.equal(answer.choices[0].message.content, 'ok');
  assert.equal((await chats()).length, 3);
  await order('/reset', {});
  await play(whole('{"error":"\\"m\\" does not support tools"}', 400));
  const refused = client({ maxRetries: 2 }).chat.completions.create({ model, messages, tools });
  await assert.rejects(refused, { status: 400 });
  assert.equal((await chats()).length, 1);
});

for (const [name, end] of [
  ['an error line', '{"error":"boom"}\n'],
  ['no done line', null],
  ['a cut', 'cut'],
]) {
  test(`a stream that ends with ${name} raises`, async () => {
    await play(streamed(...[line('Hel'), line('lo'), end].filter((step) => step !== null)));
    let text = '';
    await assert.rejects(
      async () => {
        const stream = await client().chat.completions.create({ model, messages, stream: true });
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
      },
      (error) => error instanceof OpenAI.APIError && error.code === 'upstream_error',
    );
    assert.equal(text, 'Hello');
  });
}

test('abort frees the upstream', async () => {
  await play(streamed(line('one'), 'hang'));
  const stream = await client().chat.completions.create({ model, messages, stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content === 'one') break;
  }
  const waited = await order('/wait', { aborted_at_least: 1, in_flight_at_most: 0, timeout_ms: 2000 });
  assert.equal(waited.met, true);
});
