// The official Ollama client for JavaScript: every generation runs this one text.
//
// Never here: expectations (`expected.py` has them).
import { GIVEN, check, listOf, main, raised, untilBroken, version } from './checks.mjs';

const { Ollama } = await import(version.module);
const USER = [{ role: 'user', content: 'Hello' }];

const native = (place, key = place.key) => new Ollama({ host: place.url, headers: { Authorization: `Bearer ${key}` } });
const chat = (place, asked = {}, key = undefined) => native(place, key).chat({ model: place.model, messages: USER, ...asked });

// This client repeats nothing and shows no headers.
function told(error) {
  if (error.name !== 'ResponseError') return { raised: error.constructor.name, text: String(error).slice(0, 300) };
  if (!error.error) throw new Error('a refusal without words');
  return { status: error.status_code, kind: null };
}

const tools = () => [GIVEN.weather, GIVEN.time].map((f) => ({ type: 'function', function: f }));
const used = (answer) => [answer.prompt_eval_count, answer.eval_count];
const called = (calls = []) => calls.map((call) => [call.function.name, call.function.arguments]);
const ends = (pieces) => pieces.filter((piece) => piece.done).map((piece) => piece.done_reason);
const textOf = (piece) => piece.message.content;

check('ollama', 'whole', async (place) => {
  const answer = await chat(place);
  return { text: textOf(answer), end: answer.done_reason, usage: used(answer), model: answer.model };
});

check('ollama', 'stream silence', async (place) => {
  const pieces = await listOf(chat(place, { stream: true }));
  const texts = pieces.map(textOf).filter(Boolean);
  return { text: texts.join(''), in_pieces: texts.length > 1, ends: ends(pieces) };
});

check('ollama', 'brief', async (place) => {
  const answer = await chat(place, { options: { num_predict: 16 } });
  return { text: textOf(answer), end: answer.done_reason, usage: used(answer) };
});

check('ollama', 'brief_stream', async (place) => {
  const texts = (await listOf(chat(place, { options: { num_predict: 16 }, stream: true }))).map(textOf).filter(Boolean);
  return { text: texts.join(''), in_pieces: texts.length > 1 };
});

check('ollama', 'usage', async (place) => {
  const pieces = await listOf(chat(place, { stream: true }));
  return { text: pieces.map(textOf).join(''), usage: used(pieces.at(-1)) };
});

check('ollama', 'tools', async (place) => {
  const answer = await chat(place, { tools: tools() });
  return { calls: called(answer.message.tool_calls), end: answer.done_reason };
});

check('ollama', 'tools_stream', async (place) => {
  const pieces = await listOf(chat(place, { tools: tools(), stream: true }));
  return { calls: pieces.flatMap((piece) => called(piece.message.tool_calls)), end: pieces.at(-1).done_reason };
});

// As this client's own examples do it: the call's name, and no id.
check('ollama', 'loop', async (place) => {
  const { message } = await chat(place, { tools: tools() });
  const result = { role: 'tool', content: '22 degrees', tool_name: message.tool_calls[0].function.name };
  const answer = await chat(place, { tools: tools(), messages: [...USER, message, result] });
  return { calls: called(message.tool_calls), text: textOf(answer) };
});

check('ollama', 'json', async (place) => ({ parsed: JSON.parse(textOf(await chat(place, { format: GIVEN.city }))) }));

check('ollama', 'thinking', async (place) => {
  const { message } = await chat(place, { think: true });
  return { thought: message.thinking, text: message.content };
});

check('ollama', 'thinking_stream', async (place) => {
  const pieces = await listOf(chat(place, { think: true, stream: true }));
  return { thought: pieces.map((piece) => piece.message.thinking ?? '').join(''), text: pieces.map(textOf).join('') };
});

check('ollama', 'image', async (place) => {
  const message = { role: 'user', content: 'What is this?', images: [GIVEN.png] };
  return { text: textOf(await chat(place, { messages: [message] })) };
});

const options = { temperature: 0.25, seed: 7, num_predict: 3 };
check('ollama', 'options', async (place) => ({ text: textOf(await chat(place, { options })) }));

check('ollama', 'length', async (place) => {
  const answer = await chat(place);
  return { text: textOf(answer), end: answer.done_reason };
});

check('ollama', 'wrong_key', (place) => raised(() => chat(place, {}, 'sk-wrong'), told));
check('ollama', 'unknown_model', (place) => raised(() => chat(place, { model: 'absent.ollama:1b' }), told));
check('ollama', 'bad_request', (place) => raised(() => chat(place, { options: { temperature: 'hot' } }), told));
check('ollama', 'refusal fault busy break_whole', (place) => raised(() => chat(place), told));
check('ollama', 'fault_stream', (place) => raised(() => listOf(chat(place, { stream: true })), told));

check('ollama', 'rate_limit', async (place) => {
  await chat(place);
  return raised(() => chat(place), told);
});

check('ollama', 'break_error break_cut break_short', (place) => untilBroken(() => chat(place, { stream: true }), textOf));

const generate = (place, asked = {}) => native(place).generate({ model: place.model, prompt: 'Hello', ...asked });

check('generate', 'whole', async (place) => {
  const answer = await generate(place);
  return { text: answer.response, end: answer.done_reason, usage: used(answer), model: answer.model };
});

check('generate', 'stream silence', async (place) => {
  const pieces = await listOf(generate(place, { stream: true }));
  const texts = pieces.map((piece) => piece.response).filter(Boolean);
  return { text: texts.join(''), in_pieces: texts.length > 1, ends: ends(pieces) };
});

check('generate', 'options', async (place) => ({ text: (await generate(place, { options })).response }));
check('generate', 'break_error break_cut break_short', (place) =>
  untilBroken(() => generate(place, { stream: true }), (piece) => piece.response),
);

check('embed', 'default', async (place) => {
  const answer = await native(place).embed({ model: place.model, input: 'one text' });
  return { vectors: answer.embeddings, tokens: answer.prompt_eval_count, model: answer.model };
});
check('embed', 'batch', async (place) => ({
  vectors: (await native(place).embed({ model: place.model, input: ['one text', 'two', 'three'] })).embeddings,
}));
check('embed', 'old', async (place) => ({
  vectors: [(await native(place).embeddings({ model: place.model, prompt: 'one text' })).embedding],
}));
check('embed', 'unknown_model', (place) =>
  raised(() => native(place).embed({ model: 'absent.embed:1b', input: 'x' }), told),
);

check('manage', 'list', async (place) => ({ models: (await native(place).list()).models.map((m) => m.model).sort() }));
check('manage', 'show', async (place) => ({
  shown: typeof (await native(place).show({ model: place.model })).model_info === 'object',
}));
check('manage', 'running', async (place) => {
  const { models } = await native(place).ps();
  // A server of the other kind has nothing to say about memory.
  return { running: models.some((m) => m.model === place.model) || (place.upstream === 'openai' && Array.isArray(models)) };
});
check('manage', 'pull', (place) => raised(() => native(place).pull({ model: place.model }), told));
check('manage', 'push', (place) => raised(() => native(place).push({ model: place.model }), told));
check('manage', 'create', (place) => raised(() => native(place).create({ model: 'mine', from: place.model }), told));
check('manage', 'copy', (place) => raised(() => native(place).copy({ source: place.model, destination: 'mine' }), told));
check('manage', 'delete', (place) => raised(() => native(place).delete({ model: place.model }), told));

await main();
