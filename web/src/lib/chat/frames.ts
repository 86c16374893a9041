/**
 * Gathers what comes in and hands it on at most once per animation frame. A hidden page gets no frames, so there a
 * timer does it: the answer must be complete when the reader comes back.
 */
const HIDDEN_MS = 250;

export class Frames<T> {
  private items: T[] = [];
  private cancel: (() => void) | null = null;

  constructor(private readonly deliver: (items: T[]) => void) {}

  push(item: T): void {
    this.items.push(item);
    if (this.cancel) return;
    if (document.hidden) {
      const timer = setTimeout(() => this.flush(), HIDDEN_MS);
      this.cancel = () => clearTimeout(timer);
    } else {
      const frame = requestAnimationFrame(() => this.flush());
      // A page that is hidden before its frame comes would keep the items until it is shown again.
      const timer = setTimeout(() => this.flush(), HIDDEN_MS);
      this.cancel = () => {
        cancelAnimationFrame(frame);
        clearTimeout(timer);
      };
    }
  }

  flush(): void {
    this.cancel?.();
    this.cancel = null;
    if (this.items.length === 0) return;
    const items = this.items;
    this.items = [];
    this.deliver(items);
  }
}
