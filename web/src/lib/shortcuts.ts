/** Which shortcut a key press is. Pure, so that no component spells out key combinations. */
export type Shortcut = 'new_chat' | 'focus' | 'list' | 'stop';

export function shortcutOf(event: KeyboardEvent): Shortcut | null {
  if (event.isComposing || event.keyCode === 229) return null;
  const mod = event.ctrlKey || event.metaKey;
  if (event.key === 'Escape') return event.shiftKey ? 'focus' : mod || event.altKey ? null : 'stop';
  if (mod && !event.altKey && event.shiftKey && event.code === 'KeyO') return 'new_chat';
  if (mod && !event.altKey && (event.key === '/' || event.code === 'Slash')) return 'list';
  return null;
}
