/**
 * Colours for finished code blocks: one worker, started with the first block that needs it. Where a browser refuses workers
 * the grammar is loaded into the page for short blocks; where even that fails the code stays plain. Never blocks an answer.
 */
import type { Tree } from './grammar';
import type { Result } from './worker';
import workerUrl from './worker?worker&url';

const WORKER_LIMIT_CHARS = 50_000;
const PAGE_LIMIT_CHARS = 5_000;
const JOB_LIMIT_MS = 5_000;

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): unknown };
}

/** Under Trusted Types a worker needs a blessed address; this policy blesses exactly one. */
function blessed(url: string): string {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  if (!types) return url;
  const policy = types.createPolicy('app-worker-url', {
    createScriptURL: (candidate) => {
      if (candidate !== url) throw new TypeError('not the worker of this page');
      return candidate;
    },
  });
  return policy.createScriptURL(url) as string;
}

type Waiting = { resolve: (tree: Tree[] | null) => void; timer: ReturnType<typeof setTimeout> };

class Highlighter {
  private worker: Worker | null = null;
  private address: string | null = null;
  private refused = false;
  private next_id = 1;
  private readonly waiting = new Map<number, Waiting>();

  async run(lang: string, text: string): Promise<Tree[] | null> {
    if (text.length > WORKER_LIMIT_CHARS) return null;
    const worker = this.start();
    if (!worker) return this.inPage(lang, text);
    return new Promise((resolve) => {
      const id = this.next_id++;
      // A grammar that hangs is ended with its worker; the blocks that waited stay plain.
      const timer = setTimeout(() => this.drop(), JOB_LIMIT_MS);
      this.waiting.set(id, { resolve, timer });
      worker.postMessage({ id, lang, text });
    });
  }

  private start(): Worker | null {
    if (this.worker || this.refused) return this.worker;
    try {
      this.address ??= blessed(workerUrl);
      const worker = new Worker(this.address, { type: 'module', name: 'highlight' });
      worker.addEventListener('message', (event: MessageEvent<Result>) =>
        this.finish(event.data.id, event.data.tree),
      );
      worker.addEventListener('error', () => {
        this.refused = true;
        this.drop();
      });
      this.worker = worker;
    } catch {
      this.refused = true;
    }
    return this.worker;
  }

  private finish(id: number, tree: Tree[] | null): void {
    const job = this.waiting.get(id);
    if (!job) return;
    clearTimeout(job.timer);
    this.waiting.delete(id);
    job.resolve(tree);
  }

  private drop(): void {
    this.worker?.terminate();
    this.worker = null;
    for (const id of [...this.waiting.keys()]) this.finish(id, null);
  }

  private async inPage(lang: string, text: string): Promise<Tree[] | null> {
    if (text.length > PAGE_LIMIT_CHARS) return null;
    try {
      const { highlightToTree } = await import('./grammar');
      return highlightToTree(lang, text);
    } catch {
      return null;
    }
  }
}

const highlighter = new Highlighter();

export function treeToNodes(trees: readonly Tree[]): Node[] {
  return trees.map((tree) => {
    if (typeof tree === 'string') return document.createTextNode(tree);
    const span = document.createElement('span');
    const names = tree[0].split(' ').filter((name) => /^[a-z][\w-]{0,40}$/i.test(name));
    if (names.length > 0) span.className = names.join(' ');
    span.append(...treeToNodes(tree[1]));
    return span;
  });
}

/** Colours a code element in place, unless its text has changed or left the page meanwhile. */
export async function highlight(code: HTMLElement, lang: string, text: string): Promise<void> {
  const tree = await highlighter.run(lang, text);
  if (!tree || !code.isConnected || code.textContent !== text) return;
  code.replaceChildren(...treeToNodes(tree));
}
