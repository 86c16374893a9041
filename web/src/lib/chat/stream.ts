/**
 * One subscription to the events of a chat: fetch + parser, so that it can be aborted and carries the page's cookies.
 * It reports how the connection ended and never reconnects itself; `session.svelte.ts` decides that from a fresh snapshot.
 */
import { createParser } from 'eventsource-parser';
import type { Event } from '../api';
import { api, call } from '../http';
import { parseEvent } from './reducer';

/** The server sends a comment every 10 s; three missed ones mean that the line is dead although no error came. */
const SILENCE_MS = 30_000;
const LINE_LIMIT_BYTES = 4 * 1024 * 1024;

export type StreamEnd = 'finished' | 'lost' | 'aborted';

export interface StreamOptions {
  chatId: string;
  after: number;
  signal: AbortSignal;
  onEvent: (event: Event) => void;
  onOpen: () => void;
}

async function pump(
  body: ReadableStream<Uint8Array>,
  touch: () => void,
  options: StreamOptions,
): Promise<boolean> {
  let finished = false;
  const parser = createParser({
    onEvent: ({ data }) => {
      const event = parseEvent(data);
      if (!event) return;
      options.onEvent(event);
      finished ||= event.kind === 'done' || event.kind === 'error';
    },
  });
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let pending_bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return finished;
    touch();
    pending_bytes = value.includes(10) ? 0 : pending_bytes + value.length;
    if (pending_bytes > LINE_LIMIT_BYTES) {
      await reader.cancel();
      return finished;
    }
    parser.feed(decoder.decode(value, { stream: true }));
  }
}

export async function subscribe(options: StreamOptions): Promise<StreamEnd> {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const touch = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  touch();
  try {
    const response = await call(api.eventsPath(options.chatId, options.after), {
      headers: { accept: 'text/event-stream' },
      cache: 'no-store',
      signal: AbortSignal.any([options.signal, silence.signal]),
    });
    if (!response.body) return 'lost';
    options.onOpen();
    return (await pump(response.body, touch, options)) ? 'finished' : 'lost';
  } catch {
    return options.signal.aborted ? 'aborted' : 'lost';
  } finally {
    clearTimeout(timer);
  }
}

/** 0.5 s, 1 s, 2 s ... at most 15 s, spread by up to a quarter so that a restart is not met by every tab at once. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  return Math.min(15_000, 500 * 2 ** Math.min(attempt, 10)) * (1 + random() / 4);
}
