/** One message as the page shows it: the stored message, and for an answer the view of its run. */
import type { Message, Role } from '../api';
import { estimateTokens, Rate } from './rate';
import { viewOf, type RunView } from './reducer';

let next_key = 1;

export class Turn {
  /** Stable while the message gets its real id, so that the element and its state stay. */
  readonly key = next_key++;
  message: Message = $state.raw() as Message;
  view: RunView = $state.raw() as RunView;
  rate_per_s = $state<number | null>(null);
  private rate = new Rate();

  constructor(message: Message, seq = 0) {
    this.message = message;
    this.view = viewOf(message, seq);
  }

  get running(): boolean {
    return this.view.phase.kind !== 'ended';
  }

  /** Takes a snapshot of the server. A view of the same run that is further on is kept: text and number belong together. */
  adopt(message: Message, seq: number): void {
    const same =
      message.status === 'running' && this.running && this.view.seq >= seq && this.message.id === message.id;
    this.message = message;
    if (same && this.view.seq > 0) return;
    const { thinking_from_ms, thinking_to_ms } = this.view;
    const fresh = viewOf(message, seq);
    const waiting = same && fresh.phase.kind === 'sending';
    this.view = {
      ...fresh,
      thinking_from_ms,
      thinking_to_ms,
      phase: waiting ? this.view.phase : fresh.phase,
    };
  }

  wrote(before: number, now_ms: number): void {
    this.rate.add(this.view.text.slice(before), now_ms);
    this.rate_per_s = this.rate.perSecond();
  }

  get tokensSoFar(): number {
    return Math.round(estimateTokens(this.view.text));
  }
}

/** A message that the server has not confirmed yet. */
export function pendingMessage(
  role: Role,
  text: string,
  images: string[],
  model: string,
  parent_id: string | null,
): Message {
  return {
    id: '',
    parent_id,
    role,
    model: role === 'assistant' ? model : null,
    text,
    thinking: '',
    images,
    status: role === 'assistant' ? 'running' : 'done',
    failure: null,
    usage: null,
    created_at: Date.now(),
    siblings: [],
  };
}
