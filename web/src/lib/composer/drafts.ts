/**
 * Unsent text per chat, kept in the browser so that a reload or a look at another chat loses nothing. Bounded: the
 * oldest drafts go first. Storage may be refused (private mode); then drafts live as long as the page.
 */
const KEY = 'gatehouse.drafts';
const KEPT = 50;
const LIMIT_CHARS = 100_000;

type Saved = [chat: string, text: string][];

let memory: Saved | null = null;

function read(): Saved {
  if (memory) return memory;
  memory = [];
  try {
    const raw: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    if (Array.isArray(raw)) {
      memory = raw.filter(
        (e): e is [string, string] =>
          Array.isArray(e) && typeof e[0] === 'string' && typeof e[1] === 'string',
      );
    }
  } catch {
    // Refused or damaged storage: begin empty.
  }
  return memory;
}

export function loadDraft(chat: string): string {
  return read().find(([id]) => id === chat)?.[1] ?? '';
}

export function saveDraft(chat: string, text: string): void {
  const rest = read().filter(([id]) => id !== chat);
  memory = text ? [...rest, [chat, text.slice(0, LIMIT_CHARS)] as [string, string]].slice(-KEPT) : rest;
  try {
    localStorage.setItem(KEY, JSON.stringify(memory));
  } catch {
    // Full or refused: the copy in memory still serves this page.
  }
}
