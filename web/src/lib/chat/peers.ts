/** Tells the page's other tabs that a chat changed, so that they read it again. Carries ids, never content. */
const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('gatehouse');

export function tellPeers(chatId: string): void {
  channel?.postMessage(chatId);
}

export function onPeers(listener: (chatId: string) => void): () => void {
  const handler = (event: MessageEvent<unknown>): void => {
    if (typeof event.data === 'string') listener(event.data);
  };
  channel?.addEventListener('message', handler);
  return () => channel?.removeEventListener('message', handler);
}
