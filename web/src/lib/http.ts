/**
 * The only place that calls the chat server's JSON API. Every failure, also a dropped connection or a sign-in page in
 * place of JSON, becomes a `Failure` that the page can show with one action. It never retries by itself.
 */
import type {
  ChangeChat,
  Chat,
  Chats,
  ChatSummary,
  Failure,
  FailureAction,
  Models,
  Regenerate,
  Regenerated,
  Send,
  Sent,
  Setup,
} from './api';

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly failure: Failure,
  ) {
    super(failure.message);
  }
}

/** `data-base` is set by the server under a sub-path; without it the document's own folder is the base. */
export function apiUrl(path: string): string {
  const base = document.documentElement.dataset['base'];
  const root = base
    ? new URL(base.endsWith('/') ? base : `${base}/`, document.baseURI)
    : new URL('./', document.baseURI);
  return new URL(path, root).href;
}

const ACTIONS: readonly FailureAction[] = ['retry', 'wait', 'shorten', 'operator', 'new_chat'];

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads a failure field by field: what a proxy on the way put there is data, not a promise. */
export function readFailure(value: unknown): Failure | null {
  if (!isRecord(value) || typeof value['message'] !== 'string') return null;
  const action = ACTIONS.find((a) => a === value['action']) ?? 'retry';
  const wait = value['retry_after_s'];
  return {
    code: typeof value['code'] === 'string' ? value['code'] : 'unknown',
    message: value['message'],
    action,
    retry_after_s:
      typeof wait === 'number' && Number.isFinite(wait) ? Math.max(0, Math.min(wait, 86_400)) : null,
    request_id: typeof value['request_id'] === 'string' ? value['request_id'] : null,
  };
}

/** Codes that the page makes itself; their texts are in the dictionaries. */
export const OWN_CODES = ['page_offline', 'page_signed_out', 'page_bad_answer'] as const;
export type OwnCode = (typeof OWN_CODES)[number];

/**
 * Codes of the chat server's failures that other languages have sentences for. In English its own sentence is shown, which
 * may hold more; a code that is not here is shown with that sentence in every language.
 */
export const SERVER_CODES = [
  'answer_too_long',
  'busy',
  'gateway_busy',
  'gateway_failed',
  'gateway_silent',
  'gateway_unreachable',
  'interrupted',
  'key_refused',
  'long_chat',
  'model_not_found',
  'no_key',
  'not_found',
  'prompt_too_long',
  'rate_limited',
  'request_refused',
  'server_stopped',
  'storage_full',
  'storage_unavailable',
  'stream_cut',
  'too_many_chats',
  'too_many_messages',
] as const;
export type ServerCode = (typeof SERVER_CODES)[number];

export function ownFailure(code: OwnCode, requestId: string | null = null): Failure {
  return { code, message: code, action: 'retry', retry_after_s: null, request_id: requestId };
}

async function failureOf(response: Response): Promise<ApiError> {
  const requestId = response.headers.get('x-request-id');
  const body: unknown = await response.json().catch(() => null);
  const failure = isRecord(body) ? readFailure(body['error']) : null;
  if (failure)
    return new ApiError(response.status, { ...failure, request_id: failure.request_id ?? requestId });
  const code: OwnCode = response.status === 401 ? 'page_signed_out' : 'page_bad_answer';
  return new ApiError(response.status, ownFailure(code, requestId));
}

/** One request. `redirect: 'manual'` so that a proxy's sign-in redirect is seen instead of followed into HTML. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(apiUrl(path), { redirect: 'manual', credentials: 'same-origin', ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, ownFailure('page_offline'));
  }
  if (response.type === 'opaqueredirect') throw new ApiError(0, ownFailure('page_signed_out'));
  if (!response.ok) throw await failureOf(response);
  return response;
}

async function json<T>(path: string, method = 'GET', body?: unknown): Promise<T> {
  const init: RequestInit = { method, headers: { accept: 'application/json' } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { accept: 'application/json', 'content-type': 'application/json' };
  }
  const response = await call(path, init);
  if (response.status === 204) return undefined as T;
  if (!(response.headers.get('content-type') ?? '').includes('json')) {
    throw new ApiError(response.status, ownFailure('page_signed_out', response.headers.get('x-request-id')));
  }
  return (await response.json()) as T;
}

const at = (id: string): string => `api/chats/${encodeURIComponent(id)}`;

export const api = {
  setup: () => json<Setup>('api/setup'),
  models: () => json<Models>('api/models'),
  chats: (before?: string) =>
    json<Chats>(`api/chats${before ? `?before=${encodeURIComponent(before)}` : ''}`),
  chat: (id: string, before?: string) =>
    json<Chat>(`${at(id)}${before ? `?before=${encodeURIComponent(before)}` : ''}`),
  create: () => json<ChatSummary>('api/chats', 'POST', {}),
  change: (id: string, body: ChangeChat) => json<ChatSummary>(at(id), 'PATCH', body),
  remove: (id: string) => json<void>(at(id), 'DELETE', {}),
  send: (id: string, body: Send) => json<Sent>(`${at(id)}/messages`, 'POST', body),
  regenerate: (id: string, body: Regenerate) => json<Regenerated>(`${at(id)}/regenerate`, 'POST', body),
  stop: (runId: string) => json<unknown>(`api/runs/${encodeURIComponent(runId)}/stop`, 'POST', {}),
  eventsPath: (id: string, after: number) => `${at(id)}/events?after=${after}`,
};

export function toFailure(error: unknown): Failure {
  return error instanceof ApiError ? error.failure : ownFailure('page_bad_answer');
}
