/**
 * The language of the page: the reader's choice, else what the server says, else what the browser asks for. Sets `lang`
 * on the document. Formatting of numbers and times stands here, so that no component builds such text by itself.
 */
import { en, type Dictionary } from './en';
import { zh } from './zh';
import { script } from './script';

export const languages = { en, zh } as const satisfies Record<string, Dictionary>;
export type Language = keyof typeof languages;

const KEY = 'gatehouse.language';

function isLanguage(value: unknown): value is Language {
  return typeof value === 'string' && Object.hasOwn(languages, value);
}

export function pick(chosen: unknown, server: unknown, wanted: readonly string[]): Language {
  if (isLanguage(chosen)) return chosen;
  if (isLanguage(server)) return server;
  for (const tag of wanted) {
    const primary = tag.toLowerCase().split('-')[0];
    if (isLanguage(primary)) return primary;
  }
  return 'en';
}

class I18n {
  language = $state<Language>('en');
  readonly t = $derived<Dictionary>(languages[this.language]);

  start(): void {
    let chosen: string | null = null;
    try {
      chosen = localStorage.getItem(KEY);
    } catch {
      // Refused storage: the other sources decide.
    }
    this.apply(pick(chosen, document.documentElement.dataset['locale'], navigator.languages));
  }

  /** What `/api/setup` says counts only when the reader has not chosen and the document did not say. */
  suggest(locale: string | null): void {
    let chosen: string | null = null;
    try {
      chosen = localStorage.getItem(KEY);
    } catch {
      // As above.
    }
    this.apply(pick(chosen, locale, navigator.languages));
  }

  choose(language: Language): void {
    this.apply(language);
    try {
      localStorage.setItem(KEY, language);
    } catch {
      // The choice then holds for this page only.
    }
  }

  private apply(language: Language): void {
    this.language = language;
    document.documentElement.lang = languages[language].lang;
  }

  /** `0:07`, `1:23`, `1:02:03`: a running clock, in tabular figures. */
  clock(ms: number): string {
    const all_s = Math.max(0, Math.floor(ms / 1000));
    const s = String(all_s % 60).padStart(2, '0');
    const m = Math.floor(all_s / 60) % 60;
    const h = Math.floor(all_s / 3600);
    return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${s}` : `${m}:${s}`;
  }

  /** `0.8 s`, `24 s`: a finished time. */
  seconds(value_s: number): string {
    const digits = value_s < 10 ? 1 : 0;
    return this.t.status.second(value_s.toLocaleString(this.t.lang, { maximumFractionDigits: digits }));
  }

  number(value: number, digits = 0): string {
    return value.toLocaleString(this.t.lang, { maximumFractionDigits: digits });
  }

  time(at_ms: number): string {
    return new Intl.DateTimeFormat(this.t.lang, {
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    }).format(at_ms);
  }

  dateTime(at_ms: number): string {
    return new Intl.DateTimeFormat(this.t.lang, { dateStyle: 'medium', timeStyle: 'short' }).format(at_ms);
  }

  words(text: string): number {
    const segmenter = new Intl.Segmenter(script(text) ?? this.t.lang, { granularity: 'word' });
    let words = 0;
    for (const part of segmenter.segment(text.slice(0, 200_000))) if (part.isWordLike) words += 1;
    return words;
  }
}

export const i18n = new I18n();
