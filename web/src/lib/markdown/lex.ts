/**
 * Markdown to tokens: marked's lexer with GitHub's dialect, and nothing else of marked. Two changes of ours: tags in the
 * text never change how later text is read, and bold next to CJK punctuation works (`**重点：**内容`), which the
 * CommonMark flanking rule forbids.
 */
import { Lexer, Marked, Tokenizer, type Token, type Tokens, type TokensList } from 'marked';

export type Links = TokensList['links'];

export interface Lexed {
  tokens: Token[];
  links: Links;
}

const CJK = /[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]/u;
const TIGHT_STRONG = /^\*\*(?=[^\s*])([^*\n]*[^\s*])\*\*(?!\*)/;

class PlainTags extends Tokenizer {
  /** Raw tags become text, so an unclosed `<a>` or `<code>` must not switch off links in what follows. */
  override tag(src: string): Tokens.Tag | undefined {
    const { inLink, inRawBlock } = this.lexer.state;
    const token = super.tag(src);
    this.lexer.state.inLink = inLink;
    this.lexer.state.inRawBlock = inRawBlock;
    return token;
  }
}

const marked = new Marked({
  gfm: true,
  tokenizer: undefined,
  extensions: [
    {
      name: 'strong',
      level: 'inline',
      tokenizer(src) {
        const match = TIGHT_STRONG.exec(src);
        const text = match?.[1];
        if (!match || text === undefined || !CJK.test(text)) return undefined;
        return { type: 'strong', raw: match[0], text, tokens: this.lexer.inlineTokens(text) };
      },
    },
  ],
});

export function lex(source: string, known: Links = {}): Lexed {
  const lexer = new Lexer({ ...marked.defaults, tokenizer: new PlainTags() });
  Object.assign(lexer.tokens.links, known);
  lexer.lex(source);
  return { tokens: [...lexer.tokens], links: lexer.tokens.links };
}

/** Link definitions inside these tokens, at any depth; the first of a name wins, as in the lexer. */
export function collectLinks(tokens: readonly Token[], into: Links): void {
  for (const token of tokens) {
    if (token.type === 'def') {
      const def = token as Tokens.Def;
      into[def.tag] ??= { href: def.href, title: def.title };
    }
    const inner = token.type === 'list' ? (token as Tokens.List).items : (token as Tokens.Generic).tokens;
    if (inner) collectLinks(inner, into);
  }
}
