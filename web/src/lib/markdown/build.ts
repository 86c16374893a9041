/**
 * Tokens to DOM nodes. The only elements that can come out are the ones named in this file, the only attributes are the
 * ones set here, and no HTML string exists: raw HTML becomes text, images become link chips and are never fetched.
 */
import type { Token, Tokens } from 'marked';
import { decodeEntities, safeUrl } from './links';

export interface Labels {
  copy: string;
  image: string;
  table: string;
  code: string;
  taskDone: string;
  taskOpen: string;
}

/** Deeper nesting than any real answer has; beyond it the source is shown as text. */
const DEPTH_LIMIT = 24;

type Child = Node | string;

function el(tag: string, className: string | null, ...children: Child[]): HTMLElement {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export class Builder {
  constructor(private readonly labels: Labels) {}

  block(token: Token, depth = 0): Node | null {
    if (depth > DEPTH_LIMIT) return el('p', null, token.raw);
    switch (token.type) {
      case 'space':
      case 'def':
        return null;
      case 'heading': {
        const heading = token as Tokens.Heading;
        // The page owns h1 and h2, and models begin at any depth: the usual three are one level, so that none is skipped.
        const node = el(`h${Math.max(3, Math.min(6, heading.depth))}`, `h${heading.depth}`);
        return this.fill(node, heading.tokens, depth);
      }
      case 'paragraph':
        return this.fill(el('p', null), (token as Tokens.Paragraph).tokens, depth);
      case 'text':
        return this.looseText(token as Tokens.Text, depth);
      case 'code':
        return this.code(token as Tokens.Code);
      case 'hr':
        return el('hr', null);
      case 'blockquote':
        return this.fillBlocks(el('blockquote', null), (token as Tokens.Blockquote).tokens, depth);
      case 'list':
        return this.list(token as Tokens.List, depth);
      case 'table':
        return this.table(token as Tokens.Table, depth);
      case 'html':
        return el('p', 'raw', token.raw.trimEnd());
      default:
        return el('p', null, token.raw);
    }
  }

  private looseText(token: Tokens.Text, depth: number): Node {
    const node = el('p', null);
    if (token.tokens) return this.fill(node, token.tokens, depth);
    node.append(decodeEntities(token.text));
    return node;
  }

  private fillBlocks(node: HTMLElement, tokens: readonly Token[], depth: number): HTMLElement {
    for (const token of tokens) {
      const child = this.block(token, depth + 1);
      if (child) node.append(child);
    }
    return node;
  }

  private fill(node: HTMLElement, tokens: readonly Token[], depth: number): HTMLElement {
    for (const token of tokens) node.append(this.inline(token, depth + 1));
    return node;
  }

  private code(token: Tokens.Code): HTMLElement {
    const lang = /^[\w+#.-]{1,24}/.exec(token.lang ?? '')?.[0] ?? '';
    const copy = el('button', 'copy', this.labels.copy);
    copy.setAttribute('type', 'button');
    copy.dataset['copy'] = '';
    const pre = el('pre', null, el('code', null, token.text));
    pre.tabIndex = 0;
    pre.setAttribute('role', 'region');
    pre.setAttribute('aria-label', lang ? `${this.labels.code} ${lang}` : this.labels.code);
    const figure = el('div', 'code', el('div', 'code-bar', el('span', 'code-lang', lang), copy), pre);
    figure.dataset['lang'] = lang.toLowerCase();
    // Code reads left to right in a right-to-left answer too, and must not be machine-translated.
    figure.dir = 'ltr';
    figure.translate = false;
    return figure;
  }

  private list(token: Tokens.List, depth: number): HTMLElement {
    const node = el(token.ordered ? 'ol' : 'ul', token.loose ? 'loose' : null);
    if (token.ordered && typeof token.start === 'number' && token.start !== 1)
      node.setAttribute('start', String(token.start));
    for (const item of token.items) {
      const li = el('li', item.task ? 'task' : null);
      if (item.task) li.append(this.checkbox(item.checked === true));
      for (const child of item.tokens) {
        if (child.type === 'checkbox') continue;
        if (child.type === 'text' && !token.loose) this.fillTight(li, child as Tokens.Text, depth);
        else {
          const built = this.block(child, depth + 1);
          if (built) li.append(built);
        }
      }
      node.append(li);
    }
    return node;
  }

  private fillTight(li: HTMLElement, token: Tokens.Text, depth: number): void {
    if (token.tokens) this.fill(li, token.tokens, depth);
    else li.append(decodeEntities(token.text));
  }

  private checkbox(checked: boolean): HTMLElement {
    const box = el('span', checked ? 'box checked' : 'box');
    box.setAttribute('role', 'img');
    box.setAttribute('aria-label', checked ? this.labels.taskDone : this.labels.taskOpen);
    return box;
  }

  private table(token: Tokens.Table, depth: number): HTMLElement {
    const row = (cells: readonly Tokens.TableCell[], tag: 'th' | 'td'): HTMLElement => {
      const tr = el('tr', null);
      for (const cell of cells) {
        const node = el(tag, cell.align ? `align-${cell.align}` : null);
        if (tag === 'th') node.setAttribute('scope', 'col');
        tr.append(this.fill(node, cell.tokens, depth));
      }
      return tr;
    };
    const body = el('tbody', null, ...token.rows.map((cells) => row(cells, 'td')));
    const table = el('table', null, el('thead', null, row(token.header, 'th')), body);
    const scroll = el('div', 'table', table);
    scroll.tabIndex = 0;
    scroll.setAttribute('role', 'region');
    scroll.setAttribute('aria-label', this.labels.table);
    return scroll;
  }

  private inline(token: Token, depth: number): Child {
    if (depth > DEPTH_LIMIT * 2) return token.raw;
    switch (token.type) {
      case 'text': {
        const text = token as Tokens.Text;
        return text.tokens ? this.fill(el('span', null), text.tokens, depth) : decodeEntities(text.text);
      }
      case 'escape':
        return (token as Tokens.Escape).text;
      case 'strong':
        return this.fill(el('strong', null), (token as Tokens.Strong).tokens, depth);
      case 'em':
        return this.fill(el('em', null), (token as Tokens.Em).tokens, depth);
      case 'del':
        return this.fill(el('del', null), (token as Tokens.Del).tokens, depth);
      case 'codespan':
        return el('code', null, (token as Tokens.Codespan).text);
      case 'br':
        return el('br', null);
      case 'link':
        return this.link(token as Tokens.Link, depth);
      case 'image':
        return this.image(token as Tokens.Image);
      case 'html':
        // A line break is the one tag that models use where markdown has no other way: inside table cells.
        return /^<br\s*\/?>$/i.test(token.raw) ? el('br', null) : token.raw;
      default:
        return token.raw;
    }
  }

  private anchor(url: URL, title: string | null | undefined): HTMLAnchorElement {
    const a = document.createElement('a');
    a.href = url.href;
    a.rel = 'noopener noreferrer nofollow';
    a.target = '_blank';
    if (title) a.title = decodeEntities(title);
    return a;
  }

  private link(token: Tokens.Link, depth: number): HTMLElement {
    const url = safeUrl(token.href);
    return this.fill(url ? this.anchor(url, token.title) : el('span', 'dead-link'), token.tokens, depth);
  }

  private image(token: Tokens.Image): Child {
    const url = safeUrl(token.href);
    const name = decodeEntities(token.text) || this.labels.image;
    if (!url || url.protocol === 'mailto:') return el('span', 'chip', name);
    const a = this.anchor(url, token.title);
    a.className = 'chip';
    a.append(name, ' ', el('span', 'chip-host', url.host));
    return a;
  }
}
