/** Streaming equals rendering once, settled blocks keep their nodes, and what the dialect promises. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { labels } from './labels.fixture';
import { MarkdownView } from './render';

const DOCUMENTS: Record<string, string> = {
  paragraphs: 'One.\n\nTwo, with *stress*, **weight**, ~~gone~~ and `code`.\n\nThree  \nbroken.\n',
  setext: 'A title\n=======\n\nwords\n\nAnother\n---\n\nend',
  'setext or rule': 'text\n\n---\n\nmore\n---\n',
  'late table separator': 'a | b\n--|--\n1 | 2\n\nx | y\nno table\n\n| p | q |\n|:--|--:|\n| 1 | 2 |\n| 3 |\n',
  'lazy continuation': '> quoted\nlazy\n> more\n\n- item\nlazy item\n\n  inner\n\nout\n',
  'late definition': 'See [here][a] and [b] and [c][].\n\n> and [a]\n\n[a]: https://a.example/x "title"\n\n[b]: https://b.example\n[c]:\nhttps://c.example\n\nend [a]\n',
  'definition that is none': '[x]\n\n[x]: https://a.example not a definition\n\n[x]: https://b.example\n',
  'definition in a quote': '[q]\n\nfiller\n\nfiller\n\n> [q]: https://q.example\n\nend\n',
  fences: '```js\nlet a = 1;\n\n\nlet b;\n```\n\ntext\n\n~~~\n```\nnot closed by the other\n~~~\n\n````md\n```\ninner\n```\n````\nafter',
  'fence in a list': '1. first\n\n   ```py\n   x = 1\n\n   y = 2\n   ```\n\n2. second\n\n   text\n',
  'open fence': 'a\n\n```rust\nfn main() {\n\n}',
  'tight then loose': '- a\n- b\n\n- c\n\ntext\n\n* other\n* list\n',
  'nested lists': '- a\n  - b\n    - c\n\n      deep\n- d\n\n3. three\n4. four\n',
  tasks: '- [ ] open\n- [x] done **bold**\n- [ ] \n\n1. [x] numbered\n',
  'indented code': 'para\n\n    code\n\n    more\n\nend\n',
  'raw html': '<div>\nhello\n</div>\n\nx <b>bold</b> <a href="x">y https://z.example</a>\n\n<!-- a\n\nb -->\n\nend <code> https://y.example\n\nhttps://w.example\n',
  'unclosed comment': 'a\n\n<!-- never\n\nclosed\n',
  'block soup': '# h\n## h2\n> q\n- l\n***\n1. n\n```\nc\n```\n| a |\n|--|\n| b |\n',
  'rules and bullets': '- a\n\n-\n\n---\n\n- - -\n\n* * *\n\n-- x\n',
  'crlf lines': 'a\r\nb\r\n\r\n- c\r\n- d\r\n\r\n```\r\ne\r\n```\r\n',
  entities: 'a &amp; b &lt;x&gt; &#65; &#x4e2d; &nope; &\n',
  chinese: '**重点：**内容，**“引用”**后。\n\n1. 一\n2. 二\n\n> 引文\n\n`代码`，*强调*。\n',
  'blank heavy': '\n\n\na\n\n\n\nb\n   \n \n- c\n\n\n\n\n- d\n\n\n',
  autolinks: 'https://a.example/x?y=1, www.b.example. me@c.example <https://d.example>\n',
}; // prettier-ignore

let host: HTMLElement;
beforeEach(() => {
  host = document.createElement('div');
  document.body.replaceChildren(host);
});

function once(text: string): string {
  const node = document.createElement('div');
  new MarkdownView(node, { labels }).update(text, true);
  return node.innerHTML;
}

function inPieces(text: string, cuts: readonly number[]): string {
  const node = document.createElement('div');
  const view = new MarkdownView(node, { labels });
  for (const cut of cuts) view.update(text.slice(0, cut), false);
  view.update(text, true);
  return node.innerHTML;
}

const everyCut = (text: string): number[] => Array.from({ length: text.length + 1 }, (_, i) => i);

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('streaming equals rendering once', () => {
  it.each(Object.entries(DOCUMENTS))('character by character: %s', (_, text) => {
    expect(inPieces(text, everyCut(text))).toBe(once(text));
  });

  it('for mixtures of all documents in random pieces', () => {
    const lines = Object.values(DOCUMENTS).flatMap((text) => text.split(/(?<=\n)/));
    for (let seed = 1; seed <= 150; seed += 1) {
      const next = random(seed);
      const text = Array.from({ length: 14 }, () => lines[Math.floor(next() * lines.length)] ?? '').join('');
      const cuts = everyCut(text).filter(() => next() < 0.3);
      expect(inPieces(text, cuts), `seed ${seed}:\n${text}`).toBe(once(text));
    }
  });
});

describe('the view', () => {
  it('keeps the nodes of settled blocks', () => {
    const view = new MarkdownView(host, { labels });
    view.update('first\n\nsecond\n\nthird\n\nfo', false);
    const first = host.firstChild;
    const second = host.children[1];
    view.update('first\n\nsecond\n\nthird\n\nfourth\n\nfifth\n\nsixth', false);
    expect(host.firstChild).toBe(first);
    expect(host.children[1]).toBe(second);
  });

  it('writes growing code into the same element', () => {
    const view = new MarkdownView(host, { labels });
    view.update('```js\nlet', false);
    const button = host.querySelector('button');
    view.update('```js\nlet a = 1;\nlet b', false);
    expect(host.querySelector('button')).toBe(button);
    expect(host.querySelector('code')?.textContent).toBe('let a = 1;\nlet b');
  });

  it('hands code over once, when its fence has closed', () => {
    const onCode = vi.fn();
    const view = new MarkdownView(host, { labels, onCode });
    view.update('```js\nlet a;\n``', false);
    expect(onCode).not.toHaveBeenCalled();
    view.update('```js\nlet a;\n```', false);
    view.update('```js\nlet a;\n```\n\nmore', false);
    view.update('```js\nlet a;\n```\n\nmore words', true);
    expect(onCode).toHaveBeenCalledTimes(1);
    expect(onCode.mock.calls[0]?.slice(1)).toEqual(['js', 'let a;']);
  });

  it('starts anew when the text is another one', () => {
    const view = new MarkdownView(host, { labels });
    view.update('a\n\nb\n\nc\n\nd\n\n', false);
    view.update('quite different', true);
    expect(host.textContent).toBe('quite different');
  });

  it('shows the words when the source is nested beyond reason', () => {
    const view = new MarkdownView(host, { labels });
    view.update(`${'> '.repeat(20_000)}deep`, true);
    expect(host.textContent).toContain('deep');
  });

  it('shows a huge text as it is', () => {
    new MarkdownView(host, { labels }).update('*x* '.repeat(200_000), true);
    expect(host.querySelectorAll('em')).toHaveLength(0);
    expect(host.children).toHaveLength(1);
  });

  it('a definition named like a prototype is a definition', () => {
    new MarkdownView(host, { labels }).update('[__proto__]\n\n[__proto__]: https://a.example\n', true);
    expect(host.querySelector('a')?.href).toBe('https://a.example/');
  });

  it('bolds next to CJK punctuation', () => {
    new MarkdownView(host, { labels }).update('**重点：**内容', true);
    expect(host.querySelector('strong')?.textContent).toBe('重点：');
  });

  it('starts a list where the author did', () => {
    new MarkdownView(host, { labels }).update('3. c\n4. d', true);
    expect(host.querySelector('ol')?.getAttribute('start')).toBe('3');
  });

  it('reads character references in text but not in code', () => {
    new MarkdownView(host, { labels }).update('&lt;b&gt; `&lt;`', true);
    expect(host.textContent).toBe('<b> &lt;');
    expect(host.querySelector('b')).toBeNull();
  });
});
