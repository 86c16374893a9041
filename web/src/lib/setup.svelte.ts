/** What the site says about itself, the models it offers, and which of them the reader chose. */
import type { Failure, Setup } from './api';
import { api, toFailure } from './http';
import { i18n } from './i18n/index.svelte';

const KEY = 'gatehouse.model';

class SetupStore {
  site = $state.raw<Setup | null>(null);
  models = $state.raw<string[]>([]);
  modelsFailure = $state.raw<Failure | null>(null);
  failure = $state.raw<Failure | null>(null);
  modelsLoaded = $state(false);
  private chosen = $state<string | null>(null);

  /** The choice when it exists, else the default, else the first; a default counts also while the list cannot be read. */
  readonly model = $derived.by(() => {
    const wanted = [this.chosen, this.site?.default_model ?? null];
    const known = wanted.find((id) => id !== null && this.models.includes(id));
    return known ?? this.models[0] ?? this.site?.default_model ?? null;
  });

  async load(): Promise<void> {
    try {
      this.chosen = localStorage.getItem(KEY);
    } catch {
      // Refused storage: the default holds.
    }
    void this.loadModels();
    try {
      this.site = await api.setup();
      this.failure = null;
      i18n.suggest(this.site.locale);
      document.title = this.site.title;
    } catch (error) {
      this.failure = toFailure(error);
    }
  }

  async loadModels(): Promise<void> {
    try {
      const { models, error } = await api.models();
      this.models = models.map((model) => model.id);
      this.modelsFailure = error;
    } catch (error) {
      this.modelsFailure = toFailure(error);
    }
    this.modelsLoaded = true;
  }

  choose(id: string): void {
    this.chosen = id;
    try {
      localStorage.setItem(KEY, id);
    } catch {
      // The choice then holds for this page only.
    }
  }

  /** The model of an opened chat, without making it the reader's choice for new ones. */
  use(id: string | null): void {
    if (id !== null && this.models.includes(id)) this.chosen = id;
  }
}

export const setup = new SetupStore();
