/**
 * Guesses the writing of a text, so that its element can carry `lang`: that chooses the right CJK glyphs and how a screen
 * reader speaks it. Only tells apart what changes those two; null means "as the page".
 */
const SAMPLE_CHARS = 600;

export function script(text: string): 'zh-CN' | 'ja' | 'ko' | null {
  const sample = text.slice(0, SAMPLE_CHARS);
  const many = (pattern: RegExp, share: number): boolean => {
    const found = sample.match(pattern)?.length ?? 0;
    return found > 1 && found / sample.length > share;
  };
  if (many(/[\u3040-\u30ff]/g, 0.04)) return 'ja';
  if (many(/[\uac00-\ud7af]/g, 0.1)) return 'ko';
  if (many(/[\u4e00-\u9fff]/g, 0.1)) return 'zh-CN';
  return null;
}
