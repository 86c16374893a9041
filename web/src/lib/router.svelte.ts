/** The address bar is state: `#/c/ID` is a chat, anything else a new one. In the fragment, so that any sub-path works. */
class Router {
  chatId = $state<string | null>(null);

  start(): () => void {
    const read = (): void => {
      this.chatId = readChatId(location.hash);
    };
    read();
    addEventListener('hashchange', read);
    return () => removeEventListener('hashchange', read);
  }

  /** `replace` for the step from "new" to the chat just made, so that Back does not lead to an empty page. */
  go(chatId: string | null, replace = false): void {
    const hash = hrefOf(chatId);
    if (replace) history.replaceState(null, '', hash);
    else history.pushState(null, '', hash);
    this.chatId = chatId;
  }
}

export function hrefOf(chatId: string | null): string {
  return chatId === null ? '#/' : `#/c/${encodeURIComponent(chatId)}`;
}

export function readChatId(hash: string): string | null {
  const match = /^#\/c\/([^/?#]{1,200})$/.exec(hash);
  if (!match?.[1]) return null;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return null;
  }
}

export const router = new Router();
