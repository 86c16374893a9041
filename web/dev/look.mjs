// Drives the built page in Chromium against the mock, takes screenshots into dev/shots/, runs axe, and fails on any console
// error, policy violation or foreign request. Run after `npm run build`. CHROMIUM names the browser when it is not on the path.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startMock } from './mock.mjs';

const SHOTS = fileURLToPath(new URL('./shots/', import.meta.url));
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const only = process.argv[2];
const problems = [];
mkdirSync(SHOTS, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
}); // prettier-ignore

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

async function visit(
  name,
  {
    mock = {},
    expected = null,
    viewport = DESKTOP,
    scheme = 'light',
    locale = 'en-GB',
    touch = false,
    zoom = 1,
  },
  steps,
) {
  if (only && !name.includes(only)) return;
  const server = await startMock({ port: 0, ...mock });
  const context = await browser.newContext({
    viewport: { width: Math.round(viewport.width / zoom), height: Math.round(viewport.height / zoom) },
    colorScheme: scheme,
    locale,
    hasTouch: touch,
    isMobile: touch,
    bypassCSP: false,
    deviceScaleFactor: zoom,
  });
  const page = await context.newPage();
  const report = (what) => problems.push(`${name}: ${what}`);
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !expected?.test(message.text()))
      report(message.text());
  });
  page.on('pageerror', (error) => report(String(error)));
  page.on('request', (request) => {
    if (!/^(data:|blob:)/.test(request.url()) && !request.url().startsWith(server.url))
      report(`foreign request ${request.url()}`);
  });
  const shot = (suffix = '') => page.screenshot({ path: `${SHOTS}${name}${suffix}.png` });
  try {
    await page.goto(server.url);
    await page.locator('textarea').waitFor();
    await steps({ page, shot, server, report, context });
    await axe(page, report);
  } catch (error) {
    report(String(error).split('\n').slice(0, 4).join(' '));
    await shot('-error');
  } finally {
    await context.close();
    await server.close();
  }
  console.log(`looked at ${name}`);
}

/** axe is evaluated through the debugger, so the page's own policy stays on. */
async function axe(page, report) {
  // A fading control has a passing colour; wait for the page to come to rest.
  await page.evaluate(() =>
    Promise.all(
      document
        .getAnimations()
        .filter((a) => a.effect?.getTiming().iterations !== Infinity)
        .map((a) => a.finished.catch(() => 0)),
    ),
  );
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  for (const { id, nodes } of violations)
    report(
      `axe ${id}: ${nodes
        .map((n) => `${n.target} ${n.any?.[0]?.message ?? ''}`)
        .slice(0, 3)
        .join(' | ')}`,
    );
}

async function ask(page, words) {
  await page.locator('textarea').fill(words);
  await page.keyboard.press('Enter');
}
const answered = (page) => page.locator('.turn:last-child .foot .tools.always').waitFor({ timeout: 20_000 });

for (const scheme of ['light', 'dark']) {
  await visit(`empty-${scheme}`, { scheme }, async ({ page, shot }) => {
    await page.locator('.model').waitFor();
    await shot();
  });
  await visit(`answer-${scheme}`, { scheme }, async ({ page, shot }) => {
    await ask(page, 'Why is a sliding window better than a fixed one? Please show the code.');
    await page.locator('p.live').filter({ hasText: 'Writing' }).waitFor();
    await page.locator('.prose .code').waitFor();
    await shot('-1-writing');
    await answered(page);
    await page.locator('.hljs-keyword').first().waitFor();
    await shot('-2-anchored');
    await page.locator('.viewport').hover();
    await page.mouse.wheel(0, -500);
    await page.locator('.jump').click();
    await page.waitForFunction(() => !document.querySelector('.jump'));
    await shot('-3-end');
  });
  await visit(`thinking-${scheme}`, { scheme }, async ({ page, shot }) => {
    await ask(page, '/think about rate limits');
    await page.locator('p.live').filter({ hasText: 'Thinking,' }).waitFor();
    await page.locator('summary').click();
    await shot('-1');
    await answered(page);
    await shot('-2');
  });
  await visit(`failures-${scheme}`, { scheme }, async ({ page, shot }) => {
    await ask(page, '/wait please');
    await page.locator('.note').waitFor();
    await shot('-wait');
    await ask(page, '/operator');
    await page.locator('.note').nth(1).waitFor();
    await shot('-operator');
    await page.reload();
    await page.locator('.note').nth(1).waitFor();
    await shot('-reloaded');
  });
}

await visit('zh-light', { locale: 'zh-CN', mock: { title: 'Qwen3智能助手', description: '基于Qwen3:32B的大模型对话平台', notice: 'open_to_network' } }, async ({ page, shot }) => {
  await page.locator('.model').waitFor();
  await shot('-1-empty');
  await ask(page, '滑动窗口和固定窗口有什么区别？');
  await answered(page);
  await shot('-2-answer');
}); // prettier-ignore

await visit('phone', { viewport: PHONE, touch: true }, async ({ page, shot }) => {
  await page.locator('.model').waitFor();
  await shot('-1-empty');
  await page.locator('textarea').fill('/full why a sliding window?');
  await page.locator('.act').click();
  await page.locator('p.live').filter({ hasText: 'Loading' }).waitFor();
  await shot('-2-loading');
  await answered(page);
  await shot('-3-answer');
  await page.locator('header .icon-button').first().click();
  await page.locator('.drawer[open]').waitFor();
  await page.waitForFunction(() => document.getAnimations().every((a) => a.playState !== 'running' || a.effect?.getTiming().iterations === Infinity));
  await shot('-4-drawer');
}); // prettier-ignore

await visit(
  'phone-dark-zh',
  { viewport: PHONE, touch: true, scheme: 'dark', locale: 'zh-CN' },
  async ({ page, shot }) => {
    await page.locator('textarea').fill('滑动窗口和固定窗口有什么区别？');
    await page.locator('.act').click();
    await answered(page);
    await shot();
  },
);

await visit('zoom-200', { zoom: 2 }, async ({ page, shot, report }) => {
  await ask(page, 'At two hundred percent');
  await answered(page);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  if (wide) report('scrolls sideways');
  const away = await page.locator('.viewport').evaluate((v) => v.scrollHeight - v.clientHeight - v.scrollTop);
  if (away > 1) report(`the answer was not followed, ${away} px from the end`);
  await shot();
});

await visit('no-key', { mock: { notice: 'no_key', empty: true } }, async ({ page, shot }) => {
  await page.locator('.model').waitFor();
  await shot();
});

await visit('stop-and-again', {}, async ({ page, shot }) => {
  await ask(page, '/slow please');
  await page.locator('.prose').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.ending').waitFor();
  await shot('-1');
  await page.getByRole('button', { name: 'Answer again' }).click();
  await page.locator('p.live').waitFor();
  await page.locator('.prose').waitFor();
  await page.reload();
  await page.locator('p.live').filter({ hasText: 'Writing' }).waitFor();
  await shot('-2-resumed');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Previous version' }).click();
  await page.getByRole('group', { name: 'Version 1 of 2' }).waitFor();
  await shot('-3-versions');
});

await visit('dropped-line', { expected: /ERR_INCOMPLETE_CHUNKED_ENCODING/ }, async ({ page, report, server }) => {
  await ask(page, '/drop the line once');
  await page.locator('.lost').waitFor();
  await answered(page);
  const [chat] = [...server.chats.values()].slice(-1);
  await page.getByRole('button', { name: 'Copy', exact: true }).last().waitFor();
  const shown = await page.locator('.prose').last().textContent();
  if (!shown.includes('shared between machines') || shown.split('Why the edge matters').length !== 2) report('text lost or repeated');
  if (!chat) report('no chat was made');
}); // prettier-ignore

await visit('list-and-dialogs', {}, async ({ page, shot }) => {
  await page.keyboard.press('Control+/');
  await page.locator('#shortcuts-title').waitFor();
  await shot('-1-shortcuts');
  await page.keyboard.press('Escape');
  await page.locator('nav a').first().focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('F2');
  await page.locator('nav input').fill('Renamed by keyboard');
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'Renamed by keyboard' }).waitFor();
  await page.keyboard.press('Delete');
  await page.locator('#confirm-title').waitFor();
  await shot('-2-delete');
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByRole('link', { name: 'Renamed by keyboard' }).waitFor({ state: 'detached' });
});

await visit('picture-and-two-tabs', {}, async ({ page, shot, server, context }) => {
  const png = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  );
  await page.locator('input[type=file]').setInputFiles([
    { name: 'dot.png', mimeType: 'image/png', buffer: png },
    { name: 'page.svg', mimeType: 'image/svg+xml', buffer: Buffer.from('<svg/>') },
  ]);
  await page.locator('.refusal').waitFor();
  await page.locator('form img').waitFor();
  await shot('-1-preview');
  await ask(page, '/slow what is on this picture?');
  await page.locator('.turn.user img').waitFor();
  await page.locator('.prose').waitFor();
  const other = await context.newPage();
  await other.goto(page.url());
  await other.locator('p.live').filter({ hasText: 'Writing' }).waitFor();
  await other.keyboard.press('Escape');
  await page.locator('.ending').waitFor();
  await other.locator('.ending').waitFor();
  const texts = await Promise.all([page, other].map((tab) => tab.locator('.prose').textContent()));
  if (texts[0] !== texts[1]) throw new Error('two tabs, two texts');
  await other.close();
  await shot('-2-stopped');
  if (server.chats.size !== 7) throw new Error('more than one chat was made');
});

await visit('input-method', { locale: 'zh-CN' }, async ({ page, context }) => {
  const cdp = await context.newCDPSession(page);
  await page.locator('textarea').focus();
  await cdp.send('Input.imeSetComposition', { text: 'nihao', selectionStart: 5, selectionEnd: 5 });
  await page.keyboard.press('Enter');
  if ((await page.locator('.turn').count()) > 0) throw new Error('Enter of the input method has sent');
  await cdp.send('Input.insertText', { text: '/fast 你好' });
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.press('Enter');
  await answered(page);
});

await visit('sub-path', { mock: { base: '/team/chat/' } }, async ({ page, shot }) => {
  await ask(page, '/fast under a sub-path');
  await answered(page);
  await page.locator('.hljs-keyword').first().waitFor();
  await shot();
});

await browser.close();
for (const problem of problems) console.error(`PROBLEM ${problem}`);
console.log(problems.length === 0 ? 'nothing to complain about' : `${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
