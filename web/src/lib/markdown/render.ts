/**
 * Keeps the DOM of one answer in step with its growing text. Blocks that later text can no longer change are frozen and
 * never parsed again; only the tail is. Streaming a text in any pieces ends in the same nodes as rendering it once
 * (render.test.ts holds that). It never scrolls, fetches or reads anything outside its host element.
 */
import type { Token, Tokens } from 'marked';
import { Builder, type Labels } from './build';
import { collectLinks, lex, type Links, type Lexed } from './lex';

/** Above this the text is shown as it is: no regex may meet an unbounded input. */
const MARKDOWN_LIMIT_CHARS = 400_000;
/** How many of the last blocks stay open: the last may grow, the one before may still be joined to it. */
const OPEN_BLOCKS = 2;
const FENCE_CLOSED = /^ {0,3}(`{3,}|~{3,})[^\n]*\n(?:[\s\S]*\n)? {0,3}\1[`~]*[ \t]*\n*$/;

interface Block {
  type: string;
  raw: string;
  node: Node;
  closed: boolean;
}

export interface RenderOptions {
  labels: Labels;
  /** Called once for each code block whose text is final. */
  onCode?: (code: HTMLElement, lang: string, text: string) => void;
}

function isClosed(token: Token, done: boolean): boolean {
  if (token.type !== 'code') return true;
  return done || (token as Tokens.Code).codeBlockStyle === 'indented' || FENCE_CLOSED.test(token.raw);
}

function isEmpty(token: Token): boolean {
  return token.type === 'space' || token.type === 'def';
}

/** Without a prototype: a model may define a link named `__proto__`. */
function noLinks(): Links {
  return Object.create(null) as Links;
}

export class MarkdownView {
  private readonly builder: Builder;
  private settled = '';
  private settledLinks: Links = noLinks();
  private linksShown = '{}';
  private open: Block[] = [];
  private plain = false;

  constructor(
    private readonly host: HTMLElement,
    private readonly options: RenderOptions,
  ) {
    this.builder = new Builder(options.labels);
    this.reset();
  }

  update(text: string, done: boolean): void {
    const source = this.normalise(text, done);
    if (source.length > MARKDOWN_LIMIT_CHARS || this.plain) return this.showPlain(source);
    if (!source.startsWith(this.settled)) this.reset();
    try {
      this.render(source, done);
    } catch {
      // The lexer gave up (nesting beyond the stack): the words themselves must still be readable.
      this.plain = true;
      this.showPlain(source);
    }
  }

  private normalise(text: string, done: boolean): string {
    const lines = text.includes('\r') ? text.replace(/\r\n|\r(?!$)/g, '\n') : text;
    return lines.endsWith('\r') ? lines.slice(0, -1) + (done ? '\n' : '') : lines;
  }

  private reset(): void {
    this.host.replaceChildren();
    this.settled = '';
    this.settledLinks = noLinks();
    this.linksShown = '{}';
    this.open = [];
  }

  private showPlain(source: string): void {
    this.reset();
    const node = document.createElement('p');
    node.className = 'raw';
    node.append(source);
    this.host.append(node);
  }

  private render(source: string, done: boolean): void {
    let lexed = lex(source.slice(this.settled.length), this.settledLinks);
    const links = JSON.stringify(lexed.links);
    if (links !== this.linksShown) {
      // A definition came, grew or went: earlier blocks may read differently now.
      this.reset();
      lexed = lex(source);
      this.linksShown = JSON.stringify(lexed.links);
    }
    this.patch(
      lexed.tokens.filter((token) => !isEmpty(token)),
      done,
    );
    this.settle(lexed, source);
  }

  private patch(tokens: readonly Token[], done: boolean): void {
    for (const [i, token] of tokens.entries()) {
      const closed = isClosed(token, done);
      const old = this.open[i];
      if (old?.type === token.type && old.raw === token.raw && old.closed === closed) continue;
      if (old?.type === 'code' && token.type === 'code' && !old.closed && this.patchCode(old, token, closed))
        continue;
      this.replace(i, token, closed);
    }
    for (const gone of this.open.splice(tokens.length)) this.host.removeChild(gone.node);
  }

  private replace(i: number, token: Token, closed: boolean): void {
    const node = this.builder.block(token) ?? document.createTextNode('');
    const old = this.open[i];
    if (old) this.host.replaceChild(node, old.node);
    else this.host.append(node);
    this.open[i] = { type: token.type, raw: token.raw, node, closed };
    this.announceCode(node, token, closed);
  }

  /** Writes grown code into the node that is there, so that its scroll position and a focused button survive. */
  private patchCode(old: Block, token: Token, closed: boolean): boolean {
    const code = token as Tokens.Code;
    const figure = old.node as HTMLElement;
    const lang = /^[\w+#.-]{1,24}/.exec(code.lang ?? '')?.[0] ?? '';
    const text = figure.querySelector('code')?.firstChild;
    if (figure.dataset['lang'] !== lang.toLowerCase() || !(text instanceof Text)) return false;
    if (code.text.startsWith(text.data)) text.appendData(code.text.slice(text.data.length));
    else text.data = code.text;
    Object.assign(old, { raw: token.raw, closed });
    this.announceCode(figure, token, closed);
    return true;
  }

  private announceCode(node: Node, token: Token, closed: boolean): void {
    if (!closed || !this.options.onCode || !(node instanceof HTMLElement)) return;
    if (token.type !== 'code' && token.type !== 'list' && token.type !== 'blockquote') return;
    const figures = token.type === 'code' ? [node] : node.querySelectorAll<HTMLElement>('.code');
    for (const figure of figures) {
      const code = figure.querySelector('code');
      const lang = figure.dataset['lang'];
      if (code && lang) this.options.onCode(code, lang, code.textContent);
    }
  }

  private settle(lexed: Lexed, source: string): void {
    const { tokens } = lexed;
    let kept = 0;
    let cut = tokens.length;
    while (cut > 0 && kept < OPEN_BLOCKS) {
      cut -= 1;
      const token = tokens[cut];
      if (token && !isEmpty(token)) kept += 1;
    }
    const frozen = tokens.slice(0, cut);
    const raw = frozen.map((token) => token.raw).join('');
    // Where the lexer's pieces do not add up to the source, a cut could land inside a block.
    if (kept < OPEN_BLOCKS || !raw || !source.startsWith(raw, this.settled.length)) return;
    collectLinks(frozen, this.settledLinks);
    this.settled += raw;
    this.open.splice(0, frozen.filter((token) => !isEmpty(token)).length);
  }
}
