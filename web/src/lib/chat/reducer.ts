/**
 * What one run looks like on the page, as a pure function of its events. Closed list of kinds: an unknown kind is
 * skipped, text seen before (same or lower sequence number) changes nothing, so a resumed stream cannot repeat it. States
 * of a waiting question carry the number of the last text; only the latest of them matters.
 */
import type { Event, Failure, Message, MessageStatus, Usage } from '../api';
import { readFailure } from '../http';

export type Phase =
  | { kind: 'sending' }
  | { kind: 'queued'; position: number }
  | { kind: 'loading'; model: string; since_ms: number }
  | { kind: 'reading' }
  | { kind: 'thinking' }
  | { kind: 'writing' }
  | { kind: 'ended' };

export interface RunView {
  seq: number;
  phase: Phase;
  text: string;
  thinking: string;
  status: MessageStatus;
  usage: Usage | null;
  failure: Failure | null;
  /** When this page saw the first and the last piece of thinking; null when it saw neither. */
  thinking_from_ms: number | null;
  thinking_to_ms: number | null;
  /** When a failure arrived: the start of its countdown. */
  failed_at_ms: number | null;
}

export function viewOf(message: Message, seq: number): RunView {
  const kind = message.text ? 'writing' : message.thinking ? 'thinking' : 'sending';
  return {
    seq,
    phase: message.status === 'running' ? { kind } : { kind: 'ended' },
    text: message.text,
    thinking: message.thinking,
    status: message.status,
    usage: message.usage,
    failure: message.failure,
    thinking_from_ms: null,
    thinking_to_ms: null,
    failed_at_ms: message.failure ? message.created_at : null,
  };
}

export function reduce(view: RunView, event: Event, now_ms: number): RunView {
  const state = event.kind === 'queued' || event.kind === 'loading' || event.kind === 'reading';
  const old = state ? event.seq < view.seq : event.seq <= view.seq;
  if (old || view.phase.kind === 'ended') return view;
  // A state does not move the number: text with the same number may still be on its way.
  const next = { ...view, seq: state ? view.seq : event.seq };
  switch (event.kind) {
    case 'queued':
      return { ...next, phase: { kind: 'queued', position: event.position } };
    case 'loading':
      return {
        ...next,
        phase: { kind: 'loading', model: event.model, since_ms: now_ms - event.elapsed_s * 1000 },
      };
    case 'reading':
      return { ...next, phase: { kind: 'reading' } };
    case 'thinking':
      return {
        ...next,
        phase: { kind: 'thinking' },
        thinking: view.thinking + event.text,
        thinking_from_ms: view.thinking_from_ms ?? (view.thinking ? null : now_ms),
        thinking_to_ms: now_ms,
      };
    case 'text':
      return { ...next, phase: { kind: 'writing' }, text: view.text + event.text };
    case 'snapshot':
      return { ...next, text: event.text, thinking: event.thinking };
    case 'done':
      return { ...next, phase: { kind: 'ended' }, status: event.status, usage: event.usage };
    case 'error':
      return {
        ...next,
        phase: { kind: 'ended' },
        status: 'failed',
        failure: event.failure,
        failed_at_ms: now_ms,
      };
  }
}

const str = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const num = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;

function readUsage(value: unknown): Usage | null {
  if (typeof value !== 'object' || value === null) return null;
  const v = value as Record<string, unknown>;
  const prompt_tokens = num(v['prompt_tokens']);
  const output_tokens = num(v['output_tokens']);
  if (prompt_tokens === null || output_tokens === null) return null;
  return {
    prompt_tokens,
    output_tokens,
    seconds: num(v['seconds']) ?? 0,
    tokens_per_second: num(v['tokens_per_second']) ?? 0,
  };
}

/** Bytes to event, or null for anything outside the closed list. */
export function parseEvent(data: string): Event | null {
  let raw: unknown;
  try {
    raw = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof raw !== 'object' || raw === null) return null;
  const v = raw as Record<string, unknown>;
  const seq = num(v['seq']);
  if (seq === null) return null;
  const message_id = str(v['message_id']) ?? '';
  switch (v['kind']) {
    case 'queued':
      return { seq, kind: 'queued', position: num(v['position']) ?? 1 };
    case 'loading':
      return { seq, kind: 'loading', model: str(v['model']) ?? '', elapsed_s: num(v['elapsed_s']) ?? 0 };
    case 'reading':
      return { seq, kind: 'reading' };
    case 'thinking':
    case 'text':
      return { seq, kind: v['kind'], text: str(v['text']) ?? '' };
    case 'snapshot':
      return { seq, kind: 'snapshot', text: str(v['text']) ?? '', thinking: str(v['thinking']) ?? '' };
    case 'done': {
      const status = v['status'] === 'cut' || v['status'] === 'stopped' ? v['status'] : 'done';
      return { seq, kind: 'done', status, usage: readUsage(v['usage']), message_id };
    }
    case 'error': {
      const failure = readFailure(v['failure']);
      return failure && { seq, kind: 'error', failure, message_id };
    }
    default:
      return null;
  }
}
