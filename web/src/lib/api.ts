/**
 * The contract between the chat server and this page: data only, no behaviour.
 * Generated from crates/gatehouse/src/chat/api.rs by `cargo xtask types`; do not edit. Times are unix milliseconds.
 */

export type NoticeCode = "no_key" | "open_to_network";

export type Notice = { code: NoticeCode, message: string, };

export type Locale = "en" | "zh";

export type Setup = { title: string, description: string, locale: Locale | null, default_model: string | null, version: string, notice: Notice | null, };

export type FailureAction = "retry" | "wait" | "shorten" | "operator" | "new_chat";

export type Failure = { code: string, message: string, action: FailureAction, retry_after_s: number | null, request_id: string | null, };

export type ErrorBody = { error: Failure, };

export type Model = { id: string, };

export type Models = { models: Array<Model>, error: Failure | null, };

export type ChatSummary = { id: string, title: string, updated_at: number, };

export type Chats = { chats: Array<ChatSummary>, };

export type Usage = { prompt_tokens: number, output_tokens: number, 
/**
 * From sending the question to the end of the answer.
 */
seconds: number, 
/**
 * While the answer was being written.
 */
tokens_per_second: number, };

export type Role = "user" | "assistant";

export type MessageStatus = "done" | "running" | "stopped" | "cut" | "failed";

export type Message = { id: string, parent_id: string | null, role: Role, model: string | null, text: string, thinking: string, 
/**
 * Data URLs.
 */
images: Array<string>, status: MessageStatus, failure: Failure | null, usage: Usage | null, created_at: number, 
/**
 * Messages with the same parent, this one included, oldest first.
 */
siblings: Array<string>, };

export type Run = { id: string, message_id: string, seq: number, };

export type Chat = { id: string, title: string, updated_at: number, head_id: string | null, messages: Array<Message>, 
/**
 * There are messages above the first one given.
 */
older: boolean, run: Run | null, };

export type NewChat = { title?: string, };

export type ChangeChat = { title?: string, 
/**
 * Shows the branch through this message, down to its newest leaf.
 */
head_id?: string, };

export type Send = { 
/**
 * The same send twice is one question.
 */
client_id: string, text: string, images?: Array<string>, model: string, parent_id: string | null, };

export type Sent = { user_message_id: string, message_id: string, run_id: string, };

export type Regenerate = { message_id: string, model: string, };

export type Regenerated = { message_id: string, run_id: string, };

export type DoneStatus = "done" | "cut" | "stopped";

export type Event = { "kind": "queued", seq: number, position: number, } | { "kind": "loading", seq: number, model: string, elapsed_s: number, } | { "kind": "reading", seq: number, } | { "kind": "thinking", seq: number, text: string, } | { "kind": "text", seq: number, text: string, } | { "kind": "snapshot", seq: number, text: string, thinking: string, } | { "kind": "done", seq: number, status: DoneStatus, usage: Usage | null, message_id: string, } | { "kind": "error", seq: number, failure: Failure, message_id: string, };
