/** Three small pieces of the session that need no state: a random id, a title from first words, a pause that can end early. */
const TITLE_CHARS = 60;

/** `crypto.randomUUID` exists only in secure contexts; this page also lives on plain http in a company network. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The first words of the first line that says something, cut between characters and, where there are spaces, words. */
export function titleOf(text: string, fallback: string): string {
  const line = text.split('\n').map((part) => part.replace(/^[\s#>*`-]+/, '').trim()).find(Boolean) ?? ''; // prettier-ignore
  const chars = Array.from(line);
  if (chars.length <= TITLE_CHARS) return line || fallback;
  const cut = chars.slice(0, TITLE_CHARS).join('');
  const space = cut.lastIndexOf(' ');
  return `${space > TITLE_CHARS / 2 ? cut.slice(0, space) : cut}…`;
}

/** Waits, but no longer than until the browser says that it is online again or the signal ends it. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      removeEventListener('online', end);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    addEventListener('online', end);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}
