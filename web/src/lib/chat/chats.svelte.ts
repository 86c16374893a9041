/** The list of conversations, newest first, in pages. Knows titles and times only. */
import type { ChatSummary, Failure } from '../api';
import { api, toFailure } from '../http';
import { tellPeers } from './peers';

const PAGE = 200;

class Chats {
  list = $state.raw<ChatSummary[]>([]);
  loaded = $state(false);
  more = $state(false);
  failure = $state.raw<Failure | null>(null);

  find(id: string): ChatSummary | undefined {
    return this.list.find((chat) => chat.id === id);
  }

  async load(): Promise<void> {
    try {
      const { chats } = await api.chats();
      this.list = chats;
      this.more = chats.length >= PAGE;
      this.failure = null;
    } catch (error) {
      this.failure = toFailure(error);
    }
    this.loaded = true;
  }

  async older(): Promise<void> {
    const last = this.list.at(-1);
    if (!last) return;
    try {
      const { chats } = await api.chats(last.id);
      const known = new Set(this.list.map((chat) => chat.id));
      this.list = [...this.list, ...chats.filter((chat) => !known.has(chat.id))];
      this.more = chats.length >= PAGE;
    } catch (error) {
      this.failure = toFailure(error);
    }
  }

  put({ id, title, updated_at }: ChatSummary): void {
    const rest = this.list.filter((chat) => chat.id !== id);
    this.list = [...rest, { id, title, updated_at }].sort((a, b) => b.updated_at - a.updated_at);
  }

  touch(id: string): void {
    const chat = this.find(id);
    if (chat) this.put({ ...chat, updated_at: Date.now() });
  }

  async rename(id: string, title: string): Promise<boolean> {
    try {
      this.put(await api.change(id, { title }));
      tellPeers(id);
      return true;
    } catch (error) {
      this.failure = toFailure(error);
      return false;
    }
  }

  async remove(id: string): Promise<boolean> {
    try {
      await api.remove(id);
      this.list = this.list.filter((chat) => chat.id !== id);
      tellPeers(id);
      return true;
    } catch (error) {
      this.failure = toFailure(error);
      return false;
    }
  }
}

export const chats = new Chats();
