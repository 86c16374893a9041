/**
 * The contract between the chat server and this page: data only, no behaviour.
 * Mirrors `crates/gatehouse/src/chat/api.rs`. Times are unix milliseconds; ids are opaque and URL-safe.
 */

export type NoticeCode = 'no_key' | 'open_to_network';
export type FailureAction = 'retry' | 'wait' | 'shorten' | 'operator' | 'new_chat';
export type Role = 'user' | 'assistant';
export type MessageStatus = 'done' | 'running' | 'stopped' | 'cut' | 'failed';

export interface Notice {
  code: NoticeCode;
  message: string;
}

export interface Setup {
  title: string;
  description: string;
  locale: 'en' | 'zh' | null;
  default_model: string | null;
  version: string;
  notice: Notice | null;
}

export interface Failure {
  code: string;
  message: string;
  action: FailureAction;
  retry_after_s: number | null;
  request_id: string | null;
}

export interface Model {
  id: string;
}

export interface Models {
  models: Model[];
  error: Failure | null;
}

export interface ChatSummary {
  id: string;
  title: string;
  updated_at: number;
}

export interface Chats {
  chats: ChatSummary[];
}

export interface Usage {
  prompt_tokens: number;
  output_tokens: number;
  seconds: number;
  tokens_per_second: number;
}

export interface Message {
  id: string;
  parent_id: string | null;
  role: Role;
  model: string | null;
  text: string;
  thinking: string;
  images: string[];
  status: MessageStatus;
  failure: Failure | null;
  usage: Usage | null;
  created_at: number;
  siblings: string[];
}

export interface Run {
  id: string;
  message_id: string;
  seq: number;
}

export interface Chat {
  id: string;
  title: string;
  updated_at: number;
  head_id: string | null;
  messages: Message[];
  run: Run | null;
}

export interface NewChat {
  title?: string;
}

export interface Rename {
  title: string;
}

export interface Send {
  client_id: string;
  text: string;
  images?: string[];
  model: string;
  parent_id: string | null;
}

export interface Sent {
  user_message_id: string;
  message_id: string;
  run_id: string;
}

export interface Regenerate {
  message_id: string;
  model: string;
}

export interface Regenerated {
  message_id: string;
  run_id: string;
}

export interface ErrorBody {
  error: Failure;
}

export type Event =
  | { seq: number; kind: 'queued'; position: number }
  | { seq: number; kind: 'loading'; model: string; elapsed_s: number }
  | { seq: number; kind: 'reading' }
  | { seq: number; kind: 'thinking'; text: string }
  | { seq: number; kind: 'text'; text: string }
  | { seq: number; kind: 'done'; status: 'done' | 'cut' | 'stopped'; usage: Usage | null; message_id: string }
  | { seq: number; kind: 'error'; failure: Failure; message_id: string };
