/**
 * The one owner of the transcript's scroll position. It never asks how long ago something happened: each write is
 * remembered, and a scroll event that does not match it is the reader's. Upward intent of 3 px lets go, coming within
 * 60 px of the end takes hold again. A sent question is put near the top with room reserved below it, and because that
 * room shrinks exactly as the answer grows, nothing moves until it is used up. The end of an answer never scrolls.
 */

/** What the owner needs of a scroll container; a plain object in tests. */
export interface Viewport {
  readonly scrollHeight: number;
  readonly clientHeight: number;
  scrollTop: number;
}

export interface Layout {
  viewport: Viewport;
  /** Distance from the start of the content to the anchored question, or null when there is none. */
  anchorTop(): number | null;
  /** Height of the content without the reserve. */
  contentHeight(): number;
  /** Sets the height of the empty room below the content. */
  reserve(height_px: number): void;
  onJump(visible: boolean): void;
}

const DETACH_PX = 3;
const ATTACH_PX = 60;
const JUMP_SHOW_PX = 200;
const JUMP_HIDE_PX = 60;
const ANCHOR_GAP_PX = 50;

export class ScrollOwner {
  private attached = true;
  private anchored = false;
  private jump = false;
  private reserve_px = 0;
  private last_px = 0;
  /** The position that our own write will report; null when no report is due. */
  private expected_px: number | null = null;

  constructor(private readonly layout: Layout) {}

  get following(): boolean {
    return this.attached;
  }

  /** A chat was opened: show its end, without an anchor. */
  open(): void {
    this.anchored = false;
    this.attached = true;
    this.setReserve(0);
    this.toEnd();
  }

  /** A question was sent: hold it near the top and let the answer grow below. */
  anchor(): void {
    this.anchored = true;
    this.attached = true;
    this.changed();
  }

  /** What is shown is about to be exchanged: stay at this place. */
  hold(): void {
    this.attached = false;
  }

  /** The reader asked for the end. */
  jumpToEnd(): void {
    this.attached = true;
    this.toEnd();
    this.updateJump();
  }

  /** Content or viewport changed size. */
  changed(): void {
    this.setReserve(this.anchored ? this.room() : 0);
    if (this.attached) this.toEnd();
    this.updateJump();
  }

  /** A scroll event arrived. */
  scrolled(): void {
    const { viewport } = this.layout;
    const top = viewport.scrollTop;
    const ours = this.expected_px !== null && Math.abs(top - this.expected_px) <= 1;
    this.expected_px = null;
    if (!ours) {
      if (this.last_px - top >= DETACH_PX) this.attached = false;
      if (this.fromEnd() <= ATTACH_PX && top >= this.last_px) this.attached = true;
    }
    this.last_px = top;
    this.updateJump();
  }

  /** A wheel turn, finger move or key that leads up, before the browser has moved anything. */
  intendsUp(distance_px: number): void {
    if (distance_px >= DETACH_PX && this.layout.viewport.scrollTop > 0) this.attached = false;
  }

  private room(): number {
    const top = this.layout.anchorTop();
    if (top === null) return 0;
    const below = this.layout.contentHeight() - top;
    return Math.max(0, Math.floor(this.layout.viewport.clientHeight - ANCHOR_GAP_PX - below));
  }

  private setReserve(height_px: number): void {
    if (height_px === this.reserve_px) return;
    this.reserve_px = height_px;
    this.layout.reserve(height_px);
  }

  private end(): number {
    const { scrollHeight, clientHeight } = this.layout.viewport;
    return Math.max(0, scrollHeight - clientHeight);
  }

  private fromEnd(): number {
    return this.end() - this.layout.viewport.scrollTop;
  }

  private toEnd(): void {
    const { viewport } = this.layout;
    const end = this.end();
    if (Math.abs(viewport.scrollTop - end) >= 1) viewport.scrollTop = end;
    // Also where nothing was written: the browser may have clamped the position, and will report that.
    this.expected_px = viewport.scrollTop;
    this.last_px = viewport.scrollTop;
  }

  private updateJump(): void {
    // Empty room is not text that somebody could be missing.
    const hidden_px = this.fromEnd() - this.reserve_px;
    const visible = this.jump ? hidden_px > JUMP_HIDE_PX : hidden_px > JUMP_SHOW_PX;
    if (visible === this.jump) return;
    this.jump = visible;
    this.layout.onJump(visible);
  }
}
