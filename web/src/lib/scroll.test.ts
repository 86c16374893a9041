/** The scroll owner against a model of a browser: positions are clamped and every change reports itself. */
import { beforeEach, describe, expect, it } from 'vitest';
import { ScrollOwner } from './scroll';

class Browser {
  content = 1000;
  reserve_px = 0;
  clientHeight = 600;
  jump = false;
  question: number | null = null;
  writes: number[] = [];
  private top = 0;
  readonly owner = new ScrollOwner({
    viewport: this,
    anchorTop: () => this.question,
    contentHeight: () => this.content,
    reserve: (px) => (this.reserve_px = px),
    onJump: (visible) => (this.jump = visible),
  });

  get scrollHeight(): number {
    return this.content + this.reserve_px;
  }
  /** Reading forces a layout, and a layout clamps. */
  get scrollTop(): number {
    this.top = this.clamp(this.top);
    return this.top;
  }
  /** A write by the page: the browser clamps it and reports later. */
  set scrollTop(px: number) {
    this.top = this.clamp(px);
    this.writes.push(this.top);
  }
  private clamp(px: number): number {
    return Math.max(0, Math.min(px, this.scrollHeight - this.clientHeight));
  }
  /** The report of the last position, and of the reader's own moves. */
  report(): void {
    this.owner.scrolled();
  }
  user(by_px: number): void {
    this.top = this.clamp(this.top + by_px);
    this.owner.scrolled();
  }
  grow(px: number): void {
    this.content += px;
    this.owner.changed();
  }
  get fromEnd(): number {
    return this.scrollHeight - this.clientHeight - this.top;
  }
}

let page: Browser;
beforeEach(() => {
  page = new Browser();
  page.owner.open();
  page.report();
});

describe('following', () => {
  it('opens a chat at its end and stays there while it grows', () => {
    expect(page.fromEnd).toBe(0);
    page.grow(300);
    page.report();
    expect(page.fromEnd).toBe(0);
  });

  it('lets go at 3 px upward and does not fight', () => {
    page.user(-3);
    expect(page.owner.following).toBe(false);
    const before = page.scrollTop;
    for (let i = 0; i < 50; i += 1) page.grow(20);
    expect(page.scrollTop).toBe(before);
  });

  it('does not take 2 px, the rounding of a zoomed page, for a wish', () => {
    page.user(-2);
    expect(page.owner.following).toBe(true);
  });

  it('lets go at the wheel already, before the position changes', () => {
    page.owner.intendsUp(4);
    page.grow(200);
    expect(page.owner.following).toBe(false);
    expect(page.fromEnd).toBe(200);
  });

  it('takes hold again within 60 px of the end, on the way down only', () => {
    page.user(-300);
    page.user(200);
    expect(page.owner.following).toBe(false);
    page.user(45);
    expect(page.fromEnd).toBe(55);
    expect(page.owner.following).toBe(true);
    page.user(-10);
    expect(page.owner.following).toBe(false);
  });

  it('a position that the browser clamped is not the reader going up', () => {
    page.question = 1000;
    page.content = 1300;
    page.owner.anchor();
    page.report();
    // The question was estimated at 200 px more than it has.
    page.content = 1100;
    page.owner.changed();
    page.report();
    expect(page.owner.following).toBe(true);
    page.grow(900);
    expect(page.fromEnd).toBe(0);
  });

  it('its own write is never taken for the reader', () => {
    page.grow(500);
    page.report();
    page.grow(-300);
    page.report();
    expect(page.owner.following).toBe(true);
  });
});

describe('the anchored question', () => {
  beforeEach(() => {
    // A question of 80 px is appended at 1000 with an empty answer of 40 px.
    page.question = 1000;
    page.content = 1120;
    page.owner.anchor();
    page.report();
  });

  it('stands 50 px below the top', () => {
    expect(page.question! - page.scrollTop).toBe(50);
  });

  it('does not move until the answer has filled the room', () => {
    const at = page.scrollTop;
    while (page.reserve_px > 0) {
      expect(page.scrollTop).toBe(at);
      page.grow(43);
      page.report();
    }
    page.grow(100);
    expect(page.scrollTop).toBeGreaterThan(at);
    expect(page.fromEnd).toBe(0);
  });

  it('does not scroll when the answer ends', () => {
    page.grow(100);
    page.report();
    const writes = page.writes.length;
    page.owner.changed();
    expect(page.writes).toHaveLength(writes);
  });

  it('does not offer a jump over empty room', () => {
    page.user(-150);
    expect(page.jump).toBe(false);
  });
});

describe('the jump button', () => {
  it('shows beyond 200 px, hides under 60 px, and keeps still in between', () => {
    page.user(-201);
    expect(page.jump).toBe(true);
    page.user(101);
    expect(page.jump).toBe(true);
    page.user(45);
    expect(page.jump).toBe(false);
    page.user(-100);
    expect(page.jump).toBe(false);
  });

  it('goes to the end and follows again', () => {
    page.user(-300);
    page.owner.jumpToEnd();
    page.report();
    expect(page.fromEnd).toBe(0);
    expect(page.owner.following).toBe(true);
    expect(page.jump).toBe(false);
  });
});
