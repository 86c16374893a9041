/** The highlighting worker: one for the page, one job after another. It knows nothing but the text it is sent. */
import { highlightToTree, type Tree } from './grammar';

export interface Job {
  id: number;
  lang: string;
  text: string;
}

export interface Result {
  id: number;
  tree: Tree[] | null;
}

self.addEventListener('message', (event: MessageEvent<Job>) => {
  const { id, lang, text } = event.data;
  let tree: Tree[] | null = null;
  try {
    tree = highlightToTree(lang, text);
  } catch {
    tree = null;
  }
  self.postMessage({ id, tree } satisfies Result);
});
