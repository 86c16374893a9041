/** Light, dark, or as the system: a `data-theme` on the document that the style sheet's `color-scheme` follows. */
export const themes = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const KEY = 'gatehouse.theme';

class ThemeChoice {
  current = $state<Theme>('auto');

  start(): void {
    try {
      const saved = localStorage.getItem(KEY);
      this.apply(themes.find((theme) => theme === saved) ?? 'auto');
    } catch {
      this.apply('auto');
    }
  }

  choose(theme: Theme): void {
    this.apply(theme);
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // The choice then holds for this page only.
    }
  }

  private apply(theme: Theme): void {
    this.current = theme;
    document.documentElement.dataset['theme'] = theme;
  }
}

export const theme = new ThemeChoice();
