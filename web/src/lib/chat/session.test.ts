/** The session against a scripted server: sending, a lost line, a refused question, stop. No real time passes. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Chat, Event, Message } from '../api';
import { session } from './session.svelte';
import { pendingMessage } from './turn.svelte';

const message = (over: Partial<Message>): Message => ({
  ...pendingMessage('assistant', '', [], 'm', null),
  ...over,
});
const question = message({ id: 'q', role: 'user', text: 'why?', status: 'done' });
const chat = (answer: Partial<Message>, run: Chat['run']): Chat => ({
  id: 'c',
  title: 'why?',
  updated_at: 1,
  head_id: 'a',
  older: false,
  messages: [question, message({ id: 'a', parent_id: 'q', ...answer })],
  run,
});
const run = (seq: number): Chat['run'] => ({ id: 'r', message_id: 'a', seq });

/** One opened event stream of the scripted server. */
interface Line {
  after: string | null;
  send(...events: Event[]): Promise<void>;
  cut(): Promise<void>;
}

let snapshot: () => Chat;
let lines: Line[];
let calls: string[];
let refuse: Response | null;
const settle = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

function openLine(url: URL, signal: AbortSignal | null | undefined): Response {
  const stream = new TransformStream<Uint8Array>();
  const writer = stream.writable.getWriter();
  // As a browser does: an aborted request ends its body with an error.
  signal?.addEventListener('abort', () => void writer.abort(signal.reason).catch(() => {}));
  lines.push({
    after: url.searchParams.get('after'),
    async send(...events) {
      for (const event of events)
        await writer.write(new TextEncoder().encode(`id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`));
      await settle(300);
    },
    async cut() {
      await writer.close();
      await settle();
    },
  });
  return new Response(stream.readable, { headers: { 'content-type': 'text/event-stream' } });
}

beforeEach(async () => {
  vi.useFakeTimers();
  lines = [];
  calls = [];
  refuse = null;
  snapshot = () => chat({}, run(0));
  vi.stubGlobal('fetch', async (input: string, init?: RequestInit) => {
    const url = new URL(input);
    const method = init?.method ?? 'GET';
    calls.push(`${method} ${url.pathname}`);
    if (url.pathname.endsWith('/events')) return openLine(url, init?.signal);
    if (refuse && method === 'POST') return refuse;
    if (url.pathname.endsWith('/messages'))
      return Response.json({ user_message_id: 'q', message_id: 'a', run_id: 'r' }, { status: 202 });
    if (url.pathname.endsWith('/stop')) return Response.json({});
    if (method === 'POST') return Response.json({ id: 'c', title: 'why?', updated_at: 1 }, { status: 201 });
    return Response.json(snapshot());
  });
  await session.open('other-empty').catch(() => {});
  await session.open(null);
  lines = [];
  calls = [];
});

afterEach(async () => {
  await session.open(null);
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const send = (): Promise<boolean> => session.send({ text: 'why?', images: [], model: 'm' });
const answer = () => session.turns.at(-1)!;

describe('sending', () => {
  it('makes the chat, sends, and reads the answer to its end', async () => {
    expect(await send()).toBe(true);
    await settle();
    expect(calls).toEqual([
      'POST /api/chats',
      'POST /api/chats/c/messages',
      'GET /api/chats/c',
      'GET /api/chats/c/events',
    ]);
    await lines[0]!.send({ seq: 1, kind: 'text', text: 'Be' }, { seq: 2, kind: 'text', text: 'cause' });
    expect(answer().view.text).toBe('Because');
    await lines[0]!.send({ seq: 3, kind: 'done', status: 'done', usage: null, message_id: 'a' });
    await lines[0]!.cut();
    expect(session.running).toBeNull();
    expect(answer().message).toMatchObject({ id: 'a', status: 'done', text: 'Because' });
    expect(session.lost).toBe(false);
  });

  it('shows question and answer at once and keeps their elements when ids arrive', async () => {
    const sent = send();
    const keys = session.turns.map((turn) => turn.key);
    expect(session.turns.map((turn) => turn.message.role)).toEqual(['user', 'assistant']);
    await sent;
    await settle();
    expect(session.turns.map((turn) => turn.key)).toEqual(keys);
  });

  it('takes everything back when the server refuses, with the reason', async () => {
    const failure = {
      code: 'rate_limited',
      message: 'slow down',
      action: 'wait',
      retry_after_s: 9,
      request_id: 'x',
    };
    refuse = Response.json({ error: failure }, { status: 429 });
    expect(await send()).toBe(false);
    expect(session.turns).toHaveLength(0);
    expect(session.failure).toEqual(failure);
    expect(session.unsent).toBe(true);
  });

  it('does not send a second question while one is answered', async () => {
    await send();
    expect(await send()).toBe(false);
  });
});

describe('a lost line', () => {
  it('resumes from a snapshot, text and number together, nothing twice and nothing missing', async () => {
    await send();
    await settle();
    await lines[0]!.send({ seq: 1, kind: 'text', text: 'one ' });
    snapshot = () => chat({ text: 'one two three ' }, run(3));
    await lines[0]!.cut();
    expect(session.lost).toBe(true);
    expect(answer().view.text).toBe('one ');
    await settle(1000);
    expect(lines[1]!.after).toBe('3');
    await lines[1]!.send({ seq: 3, kind: 'text', text: 'three ' }, { seq: 4, kind: 'text', text: 'four' });
    expect(answer().view.text).toBe('one two three four');
    expect(session.lost).toBe(false);
  });

  it('learns from the snapshot that the answer was finished meanwhile', async () => {
    await send();
    await settle();
    snapshot = () => chat({ text: 'all of it', status: 'done' }, null);
    await lines[0]!.cut();
    await settle(1000);
    expect(session.running).toBeNull();
    expect(answer().view).toMatchObject({ text: 'all of it', status: 'done' });
    expect(lines).toHaveLength(1);
  });

  it('a line without any sign of life for 30 s is a lost one', async () => {
    await send();
    await settle();
    await settle(31_000);
    expect(lines.length).toBeGreaterThan(1);
  });
});

describe('opening', () => {
  it('a chat with a run is followed from the number of its snapshot', async () => {
    snapshot = () => chat({ text: 'so far' }, run(7));
    await session.open('c');
    await settle();
    expect(lines[0]!.after).toBe('7');
    await lines[0]!.send({ seq: 8, kind: 'text', text: ' and on' });
    expect(answer().view.text).toBe('so far and on');
  });

  it('leaving ends the subscription but not the run', async () => {
    snapshot = () => chat({}, run(0));
    await session.open('c');
    await settle();
    await session.open(null);
    expect(calls.some((call) => call.includes('stop'))).toBe(false);
    expect(session.turns).toHaveLength(0);
  });
});

describe('stop', () => {
  it('asks the server and waits for its word', async () => {
    await send();
    await settle();
    await session.stop();
    expect(calls).toContain('POST /api/runs/r/stop');
    expect(session.stopping).toBe(true);
    await lines[0]!.send({ seq: 1, kind: 'done', status: 'stopped', usage: null, message_id: 'a' });
    expect(session.stopping).toBe(false);
    expect(answer().view.status).toBe('stopped');
  });

  it('pressed before the server has taken the question, it stops as soon as there is a run', async () => {
    const sent = send();
    await session.stop();
    expect(calls.some((call) => call.includes('stop'))).toBe(false);
    await sent;
    await settle();
    expect(calls).toContain('POST /api/runs/r/stop');
  });
});
