// A stand-in for the chat server, for development only: serves dist/ under the page's real security headers and plays the
// API from memory. Run `npm run build`, then `npm run dev:mock`, and open the printed address.
// Questions that begin with /think /full /queue /load /slow /fast /cut /fail /wait /shorten /operator /break /drop play that scene.
// Environment: PORT (default 5199, 0 = any), BASE (sub-path, default /), NOTICE (no_key | open_to_network), LOCALE (en | zh),
// EMPTY=1 (no stored chats).
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { scene } from './answers.mjs';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const CSP = [
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'",
  "worker-src 'self'; manifest-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "require-trusted-types-for 'script'; trusted-types svelte-trusted-html app-worker-url",
].join('; ');
const TYPES = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.html': 'text/html; charset=utf-8',
};
const NOTICES = {
  no_key:
    'Set backend.api_key_file in the configuration, or QWEN_GATEWAY_KEY in the environment, then restart.',
  open_to_network: 'This page is served to everyone who can reach this machine, without accounts.',
};

export function startMock({
  port = 5199,
  base = '/',
  notice = null,
  locale = null,
  empty = false,
  title,
  description,
} = {}) {
  const chats = new Map();
  const runs = new Map();
  let counter = 0;
  const newId = (kind) => `${kind}_${(++counter).toString(36).padStart(4, '0')}`;
  const text = (role, words, extra = {}) => ({
    id: newId('m'), parent_id: null, role, model: role === 'assistant' ? 'qwen3:32b' : null, text: words, thinking: '', images: [],
    status: 'done', failure: null, usage: null, created_at: Date.now(), siblings: [], ...extra,
  }); // prettier-ignore

  function addChat(title, age_h = 0, messages = []) {
    const chat = {
      id: newId('c'),
      title,
      updated_at: Date.now() - age_h * 3_600_000,
      all: messages,
      head: messages.at(-1)?.id ?? null,
      run: null,
      events: [],
      wake: new Set(),
    };
    messages.forEach((message, i) => (message.parent_id = messages[i - 1]?.id ?? null));
    chats.set(chat.id, chat);
    return chat;
  }

  if (!empty) {
    addChat('Sliding window or token bucket?', 1);
    addChat('会议纪要：网关上线检查', 3);
    addChat('Why does nginx buffer my event stream', 20);
    addChat('Translate the release notes into Chinese', 30);
    addChat('GPU memory of qwen3:32b with 8k context', 90);
    addChat('Postmortem of the night of the long load', 400);
  }

  const find = (chat, id) => chat.all.find((message) => message.id === id);
  const siblingsOf = (chat, { parent_id, role }) =>
    chat.all.filter((other) => other.parent_id === parent_id && other.role === role);
  function branch(chat) {
    const messages = [];
    for (let at = find(chat, chat.head); at; at = find(chat, at.parent_id)) messages.unshift(at);
    return messages.map((message) => ({
      ...message,
      siblings: siblingsOf(chat, message).map(({ id }) => id),
    }));
  }
  function moveHead(chat, id) {
    for (let at = find(chat, id); at; at = chat.all.findLast((other) => other.parent_id === at.id))
      chat.head = at.id;
  }

  const summary = ({ id, title, updated_at }) => ({ id, title, updated_at });
  const view = (chat) => ({
    ...summary(chat),
    head_id: chat.head,
    messages: branch(chat),
    older: false,
    run: chat.run && { id: chat.run.id, message_id: chat.run.message.id, seq: chat.run.seq },
  });

  async function play(chat, message, question) {
    const run = { id: newId('r'), message, seq: 0, stopped: new AbortController() };
    chat.run = run;
    chat.events = [];
    runs.set(run.id, { chat, run });
    const emit = (event) => {
      // States of a waiting question are not numbered; they carry the number of the last text.
      if (!['queued', 'loading', 'reading'].includes(event.kind)) run.seq += 1;
      if (event.kind === 'text') message.text += event.text;
      if (event.kind === 'thinking') message.thinking += event.text;
      if (event.kind === 'done') Object.assign(message, { status: event.status, usage: event.usage });
      if (event.kind === 'error') Object.assign(message, { status: 'failed', failure: event.failure });
      chat.events.push({
        seq: run.seq,
        ...event,
        ...(['done', 'error'].includes(event.kind) && { message_id: message.id }),
      });
      for (const wake of chat.wake) wake();
    };
    try {
      for (const [pause_ms, event] of scene(question)) {
        if (pause_ms > 0) await sleep(pause_ms, undefined, { signal: run.stopped.signal });
        emit(event);
      }
    } catch {
      emit({ kind: 'done', status: 'stopped', usage: null });
    }
    chat.run = null;
    chat.updated_at = Date.now();
    for (const wake of chat.wake) wake();
  }

  function begin(chat, parent, model) {
    const answer = text('assistant', '', { parent_id: parent.id, model, status: 'running' });
    chat.all.push(answer);
    chat.head = answer.id;
    void play(chat, answer, parent.text);
    return { message_id: answer.id, run_id: chat.run.id };
  }

  async function events(chat, after, request, response) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(': hello\n\n');
    const dropAt = branch(chat).at(-2)?.text.startsWith('/drop') && after === 0 ? 30 : Infinity;
    for (let seq = after, sent = 0; !response.destroyed;) {
      const next = chat.events
        .slice(sent)
        .find((event) => event.seq > seq || (event.seq === seq && !event.text));
      if (next) {
        seq = next.seq;
        sent = chat.events.indexOf(next) + 1;
        response.write(`id: ${seq}\ndata: ${JSON.stringify(next)}\n\n`);
        if (['done', 'error'].includes(next.kind)) break;
        if (seq === dropAt) return response.destroy();
        continue;
      }
      if (!chat.run) break;
      await new Promise((resolve) => {
        const wake = () => (chat.wake.delete(wake), clearTimeout(timer), resolve());
        const timer = setTimeout(wake, 10_000);
        chat.wake.add(wake);
      });
    }
    response.end();
  }

  async function apiCall(path, request, response, query) {
    const send = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'req_mock' });
      response.end(body === undefined ? '' : JSON.stringify(body));
    };
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString() || '{}') : {};
    const route = `${request.method} ${path}`;
    const [, id, rest] = /^chats\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? [];
    const chat = chats.get(id);
    if (route === 'GET setup') {
      return send(200, {
        title: title ?? 'Gatehouse', description: description ?? 'Your questions, answered on our own machines.', locale,
        default_model: 'qwen3:32b', version: '0.1.0', notice: notice && { code: notice, message: NOTICES[notice] },
      }); // prettier-ignore
    }
    if (route === 'GET models')
      return send(200, { models: [{ id: 'qwen3:32b' }, { id: 'qwen3:8b' }], error: null });
    if (route === 'GET chats') {
      return send(200, {
        chats: [...chats.values()].sort((a, b) => b.updated_at - a.updated_at).map(summary),
      });
    }
    if (route === 'POST chats') return send(201, summary(addChat(body.title ?? '')));
    if (path.startsWith('runs/')) {
      runs.get(path.split('/')[1])?.run.stopped.abort();
      return send(200, {});
    }
    if (!chat) {
      return send(404, { error: { code: 'not_found', message: 'This conversation does not exist.', action: 'new_chat', retry_after_s: null, request_id: 'req_mock' } }); // prettier-ignore
    }
    if (rest === 'events') return events(chat, Number(query.get('after') ?? 0), request, response);
    if (rest === 'messages') {
      const question = text('user', body.text, { parent_id: body.parent_id, images: body.images ?? [] });
      chat.all.push(question);
      chat.title ||= body.text.slice(0, 48);
      return send(202, { user_message_id: question.id, ...begin(chat, question, body.model) });
    }
    if (rest === 'regenerate') {
      const question = find(chat, find(chat, body.message_id)?.parent_id);
      return send(202, begin(chat, question, body.model));
    }
    if (request.method === 'PATCH') {
      chat.title = body.title ?? chat.title;
      if (body.head_id) moveHead(chat, body.head_id);
      return send(200, summary(chat));
    }
    if (request.method === 'DELETE') return (chats.delete(id), send(204));
    return send(200, view(chat));
  }

  function file(path, response) {
    const headers = {
      'content-security-policy': CSP,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'same-origin',
    };
    const name = path === '' ? 'index.html' : path;
    const full = join(DIST, name);
    if (name.includes('..') || !existsSync(full)) return response.writeHead(404, headers).end();
    response.writeHead(200, {
      ...headers,
      'content-type': TYPES[extname(name)] ?? 'application/octet-stream',
    });
    if (name !== 'index.html') return createReadStream(full).pipe(response);
    const html = readFileSync(full, 'utf8');
    return response.end(
      html
        .replace('data-locale=""', `data-locale="${locale ?? ''}"`)
        .replace('data-base=""', `data-base="${base}"`),
    );
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    if (!url.pathname.startsWith(base)) return response.writeHead(404).end();
    const path = url.pathname.slice(base.length);
    if (!path.startsWith('api/')) return file(path, response);
    return apiCall(path.slice(4), request, response, url.searchParams).catch((error) =>
      response.writeHead(500).end(String(error)),
    );
  });
  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () => {
      const close = () => (server.closeAllConnections(), new Promise((done) => server.close(done)));
      resolve({ url: `http://127.0.0.1:${server.address().port}${base}`, chats, close });
    });
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { PORT, BASE, NOTICE, LOCALE, EMPTY } = process.env;
  const mock = await startMock({
    port: Number(PORT ?? 5199),
    base: BASE,
    notice: NOTICE,
    locale: LOCALE,
    empty: EMPTY === '1',
  });
  console.log(`mock chat server on ${mock.url}`);
}
