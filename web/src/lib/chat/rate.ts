/**
 * An estimate of tokens for the time in which only text is known: four Latin characters or 0.7 of a CJK character each.
 * Shown with "about"; the server's own count replaces it when the answer is done.
 */
const WINDOW_MS = 3000;
const CJK = /[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]/gu;

export function estimateTokens(text: string): number {
  const cjk = text.match(CJK)?.length ?? 0;
  return cjk * 0.7 + (text.length - cjk) / 4;
}

/** Tokens per second over the last three seconds; null until half a second of writing has been seen. */
export class Rate {
  private samples: { at_ms: number; tokens: number }[] = [];

  add(text: string, at_ms: number): void {
    this.samples.push({ at_ms, tokens: estimateTokens(text) });
    const from_ms = at_ms - WINDOW_MS;
    while (this.samples.length > 1 && (this.samples[0]?.at_ms ?? at_ms) < from_ms) this.samples.shift();
  }

  perSecond(): number | null {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || last.at_ms - first.at_ms < 500) return null;
    // The first sample opens the interval; its tokens came before it.
    const tokens = this.samples.slice(1).reduce((sum, s) => sum + s.tokens, 0);
    return tokens / ((last.at_ms - first.at_ms) / 1000);
  }
}
