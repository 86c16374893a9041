/** Where the focus goes when the control that had it leaves the page: to the conversation, never to nowhere. */
export function keepFocus(): void {
  const { activeElement } = document;
  if (activeElement && activeElement !== document.body) return;
  document.querySelector<HTMLElement>('[role="log"]')?.focus({ preventScroll: true });
}
