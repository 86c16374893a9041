/**
 * Which addresses a model's text may lead to: http, https and mailto, judged on the parsed URL and never on a prefix.
 * Also decodes the character references that the lexer leaves in text. Nothing here touches the document.
 */
const SCHEMES = new Set(['http:', 'https:', 'mailto:']);

const NAMED: Readonly<Record<string, string>> = {
  amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', copy: '©', reg: '®', trade: '™', hellip: '…',
  mdash: '—', ndash: '–', lsquo: '‘', rsquo: '’', ldquo: '“', rdquo: '”', laquo: '«', raquo: '»', times: '×', divide: '÷',
  deg: '°', plusmn: '±', middot: '·', bull: '•', rarr: '→', larr: '←', uarr: '↑', darr: '↓', le: '≤', ge: '≥', ne: '≠',
  euro: '€', pound: '£', yen: '¥', sect: '§', para: '¶', micro: 'µ', infin: '∞', ensp: '\u2002', emsp: '\u2003', thinsp: '\u2009',
}; // prettier-ignore

function fromCodePoint(code: number): string {
  const valid = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return valid ? String.fromCodePoint(code) : '\ufffd';
}

export function decodeEntities(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(
    /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z]{2,8}));/g,
    (whole, dec, hex, name) => {
      if (dec) return fromCodePoint(Number.parseInt(dec, 10));
      if (hex) return fromCodePoint(Number.parseInt(hex, 16));
      return Object.hasOwn(NAMED, name) ? (NAMED[name] ?? whole) : whole;
    },
  );
}

/** The normalised address, or null when it must stay text. Relative addresses mean nothing in an answer, so they are null. */
export function safeUrl(href: string): URL | null {
  let url: URL;
  try {
    url = new URL(decodeEntities(href).trim());
  } catch {
    return null;
  }
  if (!SCHEMES.has(url.protocol)) return null;
  if (url.username || url.password) return null;
  return url;
}
