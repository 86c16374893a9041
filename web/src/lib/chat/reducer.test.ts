/** What events do to a run's view, and what outside data can not do to it. */
import { describe, expect, it } from 'vitest';
import type { Event, Message } from '../api';
import { parseEvent, reduce, viewOf, type RunView } from './reducer';
import { pendingMessage } from './turn.svelte';

const running: Message = { ...pendingMessage('assistant', '', [], 'm', 'q'), id: 'a' };
const play = (events: Event[], from: RunView = viewOf(running, 0)): RunView =>
  events.reduce((view, event, i) => reduce(view, event, 1000 + i * 1000), from);

describe('reduce', () => {
  it('walks through the phases of an answer', () => {
    const events: Event[] = [
      { seq: 1, kind: 'queued', position: 3 },
      { seq: 2, kind: 'loading', model: 'm', elapsed_s: 4 },
      { seq: 3, kind: 'reading' },
      { seq: 4, kind: 'thinking', text: 'hm' },
      { seq: 5, kind: 'text', text: 'Yes' },
    ];
    const phases = events.map((_, i) => play(events.slice(0, i + 1)).phase);
    expect(phases).toEqual([
      { kind: 'queued', position: 3 },
      { kind: 'loading', model: 'm', since_ms: -2000 },
      { kind: 'reading' },
      { kind: 'thinking' },
      { kind: 'writing' },
    ]);
  });

  it('appends text and thinking and times the thinking', () => {
    const view = play([
      { seq: 1, kind: 'thinking', text: 'a' },
      { seq: 2, kind: 'thinking', text: 'b' },
      { seq: 3, kind: 'text', text: 'c' },
      { seq: 4, kind: 'text', text: 'd' },
    ]);
    expect(view).toMatchObject({ thinking: 'ab', text: 'cd', thinking_from_ms: 1000, thinking_to_ms: 2000 });
  });

  it('takes each sequence number once', () => {
    const view = play([
      { seq: 1, kind: 'text', text: 'a' },
      { seq: 2, kind: 'text', text: 'b' },
      { seq: 1, kind: 'text', text: 'a' },
      { seq: 2, kind: 'text', text: 'b' },
      { seq: 3, kind: 'text', text: 'c' },
    ]);
    expect(view.text).toBe('abc');
  });

  it('states carry the number of the last text and swallow none', () => {
    const view = play([
      { seq: 0, kind: 'queued', position: 2 },
      { seq: 0, kind: 'reading' },
      { seq: 1, kind: 'text', text: 'a' },
    ]);
    expect(view).toMatchObject({ text: 'a', seq: 1, phase: { kind: 'writing' } });
  });

  it('a snapshot replaces what was folded meanwhile', () => {
    const view = play(
      [
        { seq: 9, kind: 'snapshot', text: 'whole', thinking: 'thought' },
        { seq: 10, kind: 'done', status: 'done', usage: null, message_id: 'a' },
      ],
      viewOf({ ...running, text: 'wh' }, 2),
    );
    expect(view).toMatchObject({ text: 'whole', thinking: 'thought', status: 'done' });
  });

  it('resumes from a snapshot without repeating what the snapshot holds', () => {
    const snapshot = viewOf({ ...running, text: 'ab' }, 2);
    const view = play(
      [
        { seq: 2, kind: 'text', text: 'b' },
        { seq: 3, kind: 'text', text: 'c' },
      ],
      snapshot,
    );
    expect(view).toMatchObject({ text: 'abc', seq: 3 });
  });

  it('does not claim a time for thinking whose beginning it has not seen', () => {
    const view = play([{ seq: 5, kind: 'thinking', text: 'b' }], viewOf({ ...running, thinking: 'a' }, 4));
    expect(view.thinking_from_ms).toBeNull();
  });

  it.each(['done', 'cut', 'stopped'] as const)('ends as %s and then stays so', (status) => {
    const view = play([
      { seq: 1, kind: 'text', text: 'a' },
      { seq: 2, kind: 'done', status, usage: null, message_id: 'a' },
      { seq: 3, kind: 'text', text: 'late' },
    ]);
    expect(view).toMatchObject({ status, text: 'a', phase: { kind: 'ended' } });
  });

  it('keeps the text of an answer that failed half-way', () => {
    const failure = { code: 'x', message: 'y', action: 'retry', retry_after_s: 5, request_id: null } as const;
    const view = play([
      { seq: 1, kind: 'text', text: 'half' },
      { seq: 2, kind: 'error', failure, message_id: 'a' },
    ]);
    expect(view).toMatchObject({ status: 'failed', text: 'half', failure, failed_at_ms: 2000 });
  });
});

describe('viewOf', () => {
  it('a stored failure is there after a reload, its clock started when it was stored', () => {
    const failure = { code: 'x', message: 'y', action: 'wait', retry_after_s: 60, request_id: 'r' } as const;
    const view = viewOf({ ...running, status: 'failed', failure, created_at: 77 }, 0);
    expect(view).toMatchObject({ phase: { kind: 'ended' }, failure, failed_at_ms: 77 });
  });
});

describe('parseEvent', () => {
  it.each(['', 'null', '[]', '{"kind":"text"}', '{"seq":"1","kind":"text"}', '{"seq":1,"kind":"html","text":"x"}', '{"seq":1,"kind":"error","failure":{}}', '{"seq":1e999,"kind":"text"}'])(
    'drops %s',
    (data) => expect(parseEvent(data)).toBeNull(),
  ); // prettier-ignore

  it('reads fields by type and ignores the rest', () => {
    expect(parseEvent('{"seq":1,"kind":"text","text":5,"html":"<b>"}')).toEqual({
      seq: 1,
      kind: 'text',
      text: '',
    });
    expect(
      parseEvent('{"seq":1,"kind":"done","status":"odd","usage":{"prompt_tokens":"1"},"message_id":"a"}'),
    ).toEqual({
      seq: 1,
      kind: 'done',
      status: 'done',
      usage: null,
      message_id: 'a',
    });
  });

  it('an unknown action becomes the harmless one', () => {
    const event = parseEvent(
      '{"seq":1,"kind":"error","message_id":"a","failure":{"message":"m","action":"eval","retry_after_s":-4}}',
    );
    expect(event).toMatchObject({
      failure: { action: 'retry', retry_after_s: 0, code: 'unknown', request_id: null },
    });
  });
});
