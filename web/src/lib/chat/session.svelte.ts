/**
 * The open chat: its turns, the run that is answering, and every step that changes them. One connection at most; each
 * (re)connection begins with a snapshot whose text and sequence number belong together. Closing the page never stops a run.
 */
import type { Chat, Event, Failure } from '../api';
import { announcer } from '../announce.svelte';
import { api, ApiError, toFailure } from '../http';
import { i18n } from '../i18n/index.svelte';
import { router } from '../router.svelte';
import { chats } from './chats.svelte';
import { Frames } from './frames';
import { tellPeers } from './peers';
import { reduce } from './reducer';
import { backoffMs, subscribe } from './stream';
import { pendingMessage, Turn } from './turn.svelte';
import { pause, randomId } from './small';

export interface Outgoing {
  text: string;
  images: string[];
  model: string;
}

class Session {
  chatId = $state<string | null>(null);
  title = $state('');
  turns = $state.raw<Turn[]>([]);
  /** The answer in the making; `runId` is null until the server has taken the question. */
  running = $state.raw<Turn | null>(null);
  loading = $state(false);
  /** There are messages above the first one shown. */
  older = $state(false);
  lost = $state(false);
  stopping = $state(false);
  /** Why the last step (open, send, regenerate, stop) did not happen. Failures of answers are in their messages. */
  failure = $state.raw<Failure | null>(null);
  /** The failure is that of a question whose words are back in the message box. */
  unsent = $state(false);
  /** Grows with each chat that is opened: the transcript of another chat is another transcript. */
  opening = $state(0);
  /** Grows with each change of branch: the transcript then stays where it is. */
  branched = $state(0);
  /** Grows with each question sent from here: the transcript then anchors it. */
  sent = $state(0);
  /** A question that the next one replaces, as a branch beside it. */
  replacing = $state.raw<Turn | null>(null);

  private runId: string | null = null;
  private connection = new AbortController();
  private lastSend: { key: string; id: string } | null = null;
  private readonly frames = new Frames<Event>((events) => this.deliver(events));

  async open(chatId: string | null): Promise<void> {
    if (chatId === this.chatId && !this.failure) return;
    this.leave();
    this.opening += 1;
    this.chatId = chatId;
    this.title = chatId === null ? '' : (chats.find(chatId)?.title ?? '');
    if (chatId === null) return;
    this.loading = true;
    await this.refresh();
    this.loading = false;
  }

  /** Reads the chat again and follows its run, if it has one. */
  async refresh(): Promise<void> {
    const { chatId, connection } = this;
    if (chatId === null) return;
    try {
      const chat = await api.chat(chatId);
      if (connection.signal.aborted) return;
      this.failure = null;
      this.adopt(chat);
      if (this.running) void this.follow(chatId, true);
    } catch (error) {
      if (connection.signal.aborted) return;
      if (this.running) void this.follow(chatId, false);
      else this.failure = toFailure(error);
    }
  }

  async send(out: Outgoing): Promise<boolean> {
    if (this.running) return false;
    const { replacing } = this;
    const kept = replacing ? this.turns.slice(0, this.turns.indexOf(replacing)) : this.turns;
    const parent_id = replacing ? replacing.message.parent_id : (kept.at(-1)?.message.id ?? null);
    const before = this.turns;
    const question = new Turn(pendingMessage('user', out.text, out.images, out.model, parent_id));
    const answer = new Turn(pendingMessage('assistant', '', [], out.model, null));
    this.begin([...kept, question, answer], answer);
    this.sent += 1;
    const { connection } = this;
    try {
      const chatId = this.chatId ?? (await this.create());
      if (connection.signal.aborted) return true;
      const ids = await api.send(chatId, {
        client_id: this.clientId(chatId, parent_id, out),
        ...out,
        parent_id,
      });
      this.lastSend = null;
      if (connection.signal.aborted) return true;
      question.message = { ...question.message, id: ids.user_message_id };
      this.replacing = null;
      this.taken(chatId, answer, ids.message_id, ids.run_id);
      return true;
    } catch (error) {
      if (!connection.signal.aborted) {
        this.takeBack(before, error);
        this.unsent = true;
      }
      return false;
    }
  }

  async regenerate(turn: Turn, model: string): Promise<void> {
    const { chatId, connection } = this;
    if (this.running || chatId === null || this.turns.at(-1) !== turn) return;
    const before = this.turns;
    const answer = new Turn(pendingMessage('assistant', '', [], model, turn.message.parent_id));
    this.begin([...before.slice(0, -1), answer], answer);
    try {
      const ids = await api.regenerate(chatId, { message_id: turn.message.id, model });
      if (!connection.signal.aborted) this.taken(chatId, answer, ids.message_id, ids.run_id);
    } catch (error) {
      if (!connection.signal.aborted) this.takeBack(before, error);
    }
  }

  async stop(): Promise<void> {
    if (!this.running || this.stopping) return;
    this.stopping = true;
    announcer.say(i18n.t.status.stopping);
    // Without an id the question is still on its way; `taken` stops the run as soon as it has one.
    if (this.runId) await this.stopRun(this.runId);
  }

  /** Shows the branch through another message with the same parent. */
  async branch(messageId: string): Promise<void> {
    const { chatId, connection } = this;
    if (this.running || chatId === null) return;
    try {
      await api.change(chatId, { head_id: messageId });
      if (connection.signal.aborted) return;
      this.branched += 1;
      tellPeers(chatId);
      await this.refresh();
    } catch (error) {
      if (!connection.signal.aborted) this.failure = toFailure(error);
    }
  }

  async loadOlder(): Promise<void> {
    const { chatId, connection, turns } = this;
    const first = turns[0]?.message.id;
    if (chatId === null || !first) return;
    try {
      const chat = await api.chat(chatId, first);
      if (connection.signal.aborted) return;
      this.turns = [...chat.messages.map((message) => new Turn(message)), ...this.turns];
      this.older = chat.older;
    } catch (error) {
      if (!connection.signal.aborted) this.failure = toFailure(error);
    }
  }

  /** Puts the question of a failed answer back into the hands of its writer. */
  questionOf(answer: Turn): Turn | null {
    return this.turns[this.turns.indexOf(answer) - 1] ?? null;
  }

  private leave(): void {
    this.connection.abort();
    this.connection = new AbortController();
    this.frames.flush();
    this.turns = [];
    this.running = null;
    this.runId = null;
    this.replacing = null;
    this.failure = null;
    this.older = false;
    this.loading = this.lost = this.stopping = this.unsent = false;
  }

  private begin(turns: Turn[], answer: Turn): void {
    this.failure = null;
    this.lost = this.stopping = this.unsent = false;
    this.runId = null;
    this.turns = turns;
    this.running = answer;
    announcer.say(i18n.t.status.sending);
  }

  private takeBack(turns: Turn[], error: unknown): void {
    this.turns = turns;
    this.running = null;
    this.stopping = false;
    this.failure = toFailure(error);
  }

  private async create(): Promise<string> {
    const chat = await api.create();
    chats.put(chat);
    this.chatId = chat.id;
    this.title = chat.title;
    router.go(chat.id, true);
    return chat.id;
  }

  /** The same id for the same words: a send whose answer got lost is not stored twice. */
  private clientId(chatId: string, parent_id: string | null, out: Outgoing): string {
    const key = JSON.stringify([chatId, parent_id, out.model, out.text, out.images.map((url) => url.length)]);
    if (this.lastSend?.key !== key) this.lastSend = { key, id: randomId() };
    return this.lastSend.id;
  }

  private taken(chatId: string, answer: Turn, messageId: string, runId: string): void {
    answer.message = { ...answer.message, id: messageId };
    this.runId = runId;
    chats.touch(chatId);
    tellPeers(chatId);
    if (this.stopping) void this.stopRun(runId);
    void this.refresh();
  }

  private async stopRun(runId: string): Promise<void> {
    const { connection } = this;
    try {
      await api.stop(runId);
    } catch (error) {
      if (connection.signal.aborted) return;
      this.stopping = false;
      this.failure = toFailure(error);
    }
  }

  private adopt(chat: Chat): void {
    this.title = chat.title;
    chats.put(chat);
    const known = new Map(this.turns.map((turn) => [turn.message.id, turn]));
    // Older pages that were read stay: the snapshot holds only the newest.
    const from = this.turns.findIndex((turn) => turn.message.id === chat.messages[0]?.id);
    const above = chat.older && from > 0 ? this.turns.slice(0, from) : [];
    if (above.length === 0) this.older = chat.older;
    const shown = chat.messages.map((message) => {
      const seq = chat.run?.message_id === message.id ? chat.run.seq : 0;
      const turn = known.get(message.id);
      if (!turn) return new Turn(message, seq);
      turn.adopt(message, seq);
      return turn;
    });
    this.turns = [...above, ...shown];
    this.runId = chat.run?.id ?? null;
    const answering =
      this.turns.find((turn) => turn.message.id === chat.run?.message_id && turn.running) ?? null;
    if (this.running && !answering) this.ended(this.running);
    this.running = answering;
  }

  /** Reads the run to its end. `fresh`: the turns on the page are a snapshot just taken. */
  private async follow(chatId: string, fresh: boolean): Promise<void> {
    // A second follower of the same chat would only read the same events again.
    this.connection.abort();
    this.connection = new AbortController();
    const { signal } = this.connection;
    let attempt = 0;
    const onEvent = (event: Event): void => {
      attempt = 0;
      this.frames.push(event);
    };
    const onOpen = (): void => void (this.lost = false);
    while (this.running) {
      if (fresh) {
        await subscribe({ chatId, after: this.running.view.seq, signal, onOpen, onEvent });
        fresh = false;
        if (!signal.aborted) this.frames.flush();
      } else {
        this.lost = true;
        await pause(backoffMs(attempt), signal);
        attempt += 1;
        if (!signal.aborted) fresh = await this.resync(chatId, signal);
      }
      if (signal.aborted) return;
    }
    this.lost = false;
  }

  private async resync(chatId: string, signal: AbortSignal): Promise<boolean> {
    try {
      const chat = await api.chat(chatId);
      if (!signal.aborted) this.adopt(chat);
      return true;
    } catch (error) {
      // Gone or refused for good: waiting longer would only pretend.
      const gone = error instanceof ApiError && [401, 403, 404].includes(error.status);
      if (gone && !signal.aborted && this.running) this.giveUp(this.running, toFailure(error));
      return false;
    }
  }

  private giveUp(turn: Turn, failure: Failure): void {
    turn.view = {
      ...turn.view,
      phase: { kind: 'ended' },
      status: 'failed',
      failure,
      failed_at_ms: Date.now(),
    };
    this.ended(turn);
    this.running = null;
  }

  private deliver(events: Event[]): void {
    const turn = this.running;
    if (!turn) return;
    const now_ms = Date.now();
    const before = turn.view;
    turn.view = events.reduce((view, event) => reduce(view, event, now_ms), before);
    if (turn.view.text.length > before.text.length) turn.wrote(before.text.length, now_ms);
    if (turn.view.phase.kind !== before.phase.kind) this.phaseChanged(turn);
  }

  private phaseChanged(turn: Turn): void {
    const { phase } = turn.view;
    const t = i18n.t.status;
    if (phase.kind === 'queued') announcer.say(t.queued(phase.position));
    else if (phase.kind === 'loading') announcer.say(t.loadingShort(phase.model));
    else if (phase.kind === 'reading') announcer.say(t.reading);
    else if (phase.kind === 'thinking') announcer.say(t.thinkingShort);
    else if (phase.kind === 'writing') announcer.say(t.writing);
    else if (phase.kind === 'ended') {
      this.ended(turn);
      this.running = null;
    }
  }

  private ended(turn: Turn): void {
    const { status, failure, text, thinking, usage } = turn.view;
    if (turn.message.status === 'running')
      turn.message = { ...turn.message, status, failure, text, thinking, usage };
    this.runId = null;
    this.stopping = this.lost = false;
    if (this.chatId) chats.touch(this.chatId);
    const t = i18n.t.status;
    if (status === 'failed') announcer.say(`${t.failed}. ${failure?.message ?? ''}`);
    else if (status === 'stopped') announcer.say(t.stopped);
    else if (status === 'cut') announcer.say(t.cut);
    else announcer.say(t.ready(i18n.words(text)));
  }
}

export const session = new Session();
