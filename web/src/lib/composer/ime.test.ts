/** The order of events in three browsers while an input method is at work. */
import { describe, expect, it } from 'vitest';
import { Composition, type KeyLike } from './ime';

const enter = (over: Partial<KeyLike> = {}): KeyLike => ({
  key: 'Enter',
  isComposing: false,
  keyCode: 13,
  shiftKey: false,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  ...over,
});

describe('Enter and input methods', () => {
  it('Chromium and Firefox: the key comes inside the composition', () => {
    const composition = new Composition();
    composition.start();
    expect(composition.sends(enter({ isComposing: true, keyCode: 229 }), false)).toBe(false);
    composition.end();
    expect(composition.sends(enter(), false)).toBe(true);
  });

  it('Safari: compositionend first, then the key, known only by code 229', () => {
    const composition = new Composition();
    composition.start();
    composition.end();
    expect(composition.sends(enter({ isComposing: false, keyCode: 229 }), false)).toBe(false);
    expect(composition.sends(enter(), false)).toBe(true);
  });

  it('an engine that sets neither sign: our own flag holds', () => {
    const composition = new Composition();
    composition.start();
    expect(composition.sends(enter(), false)).toBe(false);
    composition.end();
    expect(composition.sends(enter(), false)).toBe(true);
  });

  it('Shift+Enter and Alt+Enter never send', () => {
    const composition = new Composition();
    expect(composition.sends(enter({ shiftKey: true }), false)).toBe(false);
    expect(composition.sends(enter({ altKey: true }), false)).toBe(false);
  });

  it('on touch screens Enter is a new line, Ctrl or Cmd sends', () => {
    const composition = new Composition();
    expect(composition.sends(enter(), true)).toBe(false);
    expect(composition.sends(enter({ ctrlKey: true }), true)).toBe(true);
    expect(composition.sends(enter({ metaKey: true }), true)).toBe(true);
  });
});
