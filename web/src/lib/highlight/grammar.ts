/**
 * Code to a small tree of class names and text. Runs in the worker; the page imports it only where workers are refused.
 * It never guesses a language: an unknown one gives null and the code stays plain.
 */
import dockerfile from 'highlight.js/lib/languages/dockerfile';
import nginx from 'highlight.js/lib/languages/nginx';
import powershell from 'highlight.js/lib/languages/powershell';
import { common, createLowlight } from 'lowlight';

/** `[class names, children]`, or plain text. */
export type Tree = string | [string, Tree[]];

const lowlight = createLowlight({ ...common, dockerfile, nginx, powershell });
lowlight.registerAlias({
  bash: ['shell-session', 'zsh'],
  json: ['jsonc', 'json5', 'jsonl'],
  javascript: ['mjs', 'cjs'],
});

type Nodes = ReturnType<typeof lowlight.highlight>['children'];

function compact(nodes: Nodes): Tree[] {
  const trees: Tree[] = [];
  for (const node of nodes) {
    if (node.type === 'text') trees.push(node.value);
    else if (node.type === 'element') {
      const names = node.properties['className'];
      trees.push([Array.isArray(names) ? names.join(' ') : '', compact(node.children as Nodes)]);
    }
  }
  return trees;
}

export function highlightToTree(lang: string, text: string): Tree[] | null {
  return lowlight.registered(lang) ? compact(lowlight.highlight(lang, text).children) : null;
}
