/**
 * Whether an Enter means "send" or belongs to an input method. Three signs are needed, because no browser gives all:
 * `isComposing`, our own flag, and key code 229, which is all that is left in Safari, where `compositionend` comes
 * before the key that caused it. Every field of the page that acts on Enter asks here.
 */
export interface KeyLike {
  key: string;
  isComposing: boolean;
  keyCode: number;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

const IME_KEY_CODE = 229;

export class Composition {
  private active = false;

  start = (): void => {
    this.active = true;
  };

  end = (): void => {
    this.active = false;
  };

  owns(event: KeyLike): boolean {
    return this.active || event.isComposing || event.keyCode === IME_KEY_CODE;
  }

  /** Enter that may act: not the input method's, and without modifiers that mean something else. */
  isEnter(event: KeyLike): boolean {
    return event.key === 'Enter' && !event.shiftKey && !event.altKey && !this.owns(event);
  }

  /** On touch keyboards Enter is the only way to a new line, so there it sends only with Ctrl or Cmd. */
  sends(event: KeyLike, coarse: boolean): boolean {
    return this.isEnter(event) && (!coarse || event.ctrlKey || event.metaKey);
  }
}
