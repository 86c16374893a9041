// The chat page in Chromium, in front of the real gateway and a played Ollama. `test_browser.py` starts them all.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { answers, composer, launch, open, send, violations } from './page.mjs';

const { SITE_URL, PLAY_CONTROL, OUT } = process.env;
const CREATED_AT = '2026-01-02T03:04:05.678901Z';
const limit = { timeout: 45_000 };
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function order(path, body = {}) {
  const answer = await fetch(`${PLAY_CONTROL}${path}`, { method: 'POST', body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}
beforeEach(() => order('/reset'));

const line = (content, more = {}) =>
  `${JSON.stringify({
    model: 'qwen3:32b',
    created_at: CREATED_AT,
    message: { role: 'assistant', content, thinking: more.thinking },
    done: false,
    ...(more.done ? { done: true, done_reason: 'stop', prompt_eval_count: 11, eval_count: 18, eval_duration: 5e8 } : {}),
  })}\n`;
const play = (...steps) =>
  order('/script', {
    path: '/api/chat',
    answers: [
      {
        headers: [['content-type', 'application/x-ndjson']],
        steps: steps.map((s) => (typeof s === 'string' && s.endsWith('\n') ? { text: s } : s)),
      },
    ],
  });
const END = line('', { done: true });
const shot = (page, name) => page.screenshot({ path: `${OUT}/${name}.png` });

async function visit(options, work) {
  const { page, sins, close } = await open(browser, SITE_URL, options);
  try {
    await composer(page).waitFor();
    // The site's name comes with its settings; until then its headings are empty.
    await page.getByText('Gatehouse tests').first().waitFor();
    await work(page);
    assert.deepEqual(sins, []);
  } finally {
    await close();
  }
}

test('type, send, and see the answer come piece by piece', limit, () =>
  visit({}, async (page) => {
    await play(line('', { thinking: 'Let me see' }), line('The first'), { gate: 'more' }, line(' and the rest.'), END);
    await send(page, 'Hello there');
    const answer = answers(page).last();
    await answer.getByText('The first').waitFor();
    assert.equal(await answer.getByText('and the rest').count(), 0);
    await shot(page, 'streaming');
    await order('/gate', { name: 'more' });
    await answer.getByText('The first and the rest.').waitFor();
    await answer.getByText(/18 tokens/).waitFor();
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached' });
    assert.match(page.url(), /./);
    await shot(page, 'done');
  }));

test('stop frees the upstream and says so', limit, () =>
  visit({}, async (page) => {
    await play(line('A beginning'), 'hang');
    await send(page, 'Tell me a long story');
    await answers(page).last().getByText('A beginning').waitFor();
    // The browser's own time counts in it, which is the larger part.
    const aborted = order('/wait', { aborted_at_least: 1, in_flight_at_most: 0, timeout_ms: 10_000 });
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    assert.equal((await aborted).met, true);
    await answers(page).last().getByText('Stopped by you').waitFor();
    await shot(page, 'stopped');
  }));

test('stop works before the first word, by keyboard', limit, () =>
  visit({}, async (page) => {
    await order('/script', { path: '/api/chat', answers: [{ before: ['hang'] }] });
    await send(page, 'Are you there?');
    assert.equal((await order('/wait', { in_flight_at_least: 1, timeout_ms: 10_000 })).met, true);
    const aborted = order('/wait', { aborted_at_least: 1, in_flight_at_most: 0, timeout_ms: 10_000 });
    await page.keyboard.press('Escape');
    assert.equal((await aborted).met, true);
    await answers(page).last().getByText('Stopped by you').waitFor();
  }));

test('answer again keeps both versions', limit, () =>
  visit({}, async (page) => {
    await play(line('Version one'), END);
    await send(page, 'Say something');
    await answers(page).last().getByText('Version one').waitFor();
    await play(line('Version two'), END);
    await page.getByRole('button', { name: 'Answer again' }).click();
    await answers(page).last().getByText('Version two').waitFor();
    await page.getByRole('button', { name: 'Previous version' }).last().click();
    await answers(page).last().getByText('Version one').waitFor();
  }));

test('a reload keeps the conversation, also in the middle of an answer', limit, () =>
  visit({}, async (page) => {
    await play(line('Half'), { gate: 'rest' }, line(' and half'), END);
    await send(page, 'Keep this');
    await answers(page).last().getByText('Half').waitFor();
    await page.reload();
    await answers(page).last().getByText('Half').waitFor();
    await page.getByText('Keep this').first().waitFor();
    await order('/gate', { name: 'rest' });
    await answers(page).last().getByText('Half and half').waitFor();
    await answers(page).last().getByText(/18 tokens/).waitFor();
    await page.reload();
    await answers(page).last().getByText('Half and half').waitFor();
    assert.equal((await (await fetch(`${PLAY_CONTROL}/state`)).json()).generations, 1);
  }));

test('a second tab sees the same answer grow', limit, () =>
  visit({}, async (page) => {
    await play(line('Seen'), { gate: 'twice' }, line(' twice'), END);
    await send(page, 'For two tabs');
    await answers(page).last().getByText('Seen').waitFor();
    const other = await page.context().newPage();
    await other.goto(page.url());
    await answers(other).last().getByText('Seen').waitFor();
    await order('/gate', { name: 'twice' });
    await Promise.all([page, other].map((tab) => answers(tab).last().getByText('Seen twice').waitFor()));
  }));

test('hostile markdown becomes text, and nothing foreign is fetched', limit, () =>
  visit({}, async (page) => {
    const hostile = [
      '# A title', '', '<img src=x onerror=alert(1)>', '<script>alert(2)</script>', '',
      '![pixel](http://foreign.example/pixel.png)', '', '[click](javascript:alert(3)) [data](data:text/html,x)', '',
      '```rust', 'fn main() { println!("hi"); }', '```', '', '| a | b |', '|---|---|', '| 1 | 2 |', '',
      'Sum: $a^2 + b^2$ and https://example.com/path', '', '<iframe src="http://foreign.example"></iframe>', '', 'The end.',
    ]; // prettier-ignore
    await play(...hostile.map((row) => line(`${row}\n`)), END);
    await send(page, 'Be nasty');
    const answer = answers(page).last();
    await answer.getByText('The end.').waitFor();
    await answer.getByText(/18 tokens/).waitFor();
    const bad = await answer.evaluate((node) => [
      node.querySelectorAll('script, iframe, object, embed').length,
      [...node.querySelectorAll('img')].filter((img) => !img.src.startsWith('data:')).length,
      [...node.querySelectorAll('a')].filter((a) => !/^(https?|mailto):$/.test(a.protocol)).length,
    ]);
    assert.deepEqual(bad, [0, 0, 0]);
    assert.equal(await answer.locator('table').count(), 1);
    assert.equal(await answer.locator('pre').count(), 1);
    await shot(page, 'markdown');
  }));

test('an upstream that is gone is explained, and trying again works', limit, () =>
  visit({}, async (page) => {
    await order('/listen', { mode: 'closed', drop_connections: true });
    await send(page, 'Anyone?');
    const answer = answers(page).last();
    const again = answer.getByRole('button', { name: /Try again/ });
    await again.waitFor();
    const told = await answer.innerText();
    assert.doesNotMatch(told, /127\.0\.0\.1|localhost|:\d{4}|error code|os error/i);
    await shot(page, 'failed');
    await order('/listen', { mode: 'open' });
    await play(line('Back again'), END);
    // The button counts down what the gateway asked for, and then says nothing but its name.
    const ready = answer.getByRole('button', { name: 'Try again', exact: true, disabled: false });
    await ready.waitFor({ timeout: 20_000 });
    await ready.click();
    await answers(page).last().getByText('Back again').waitFor();
  }));

test('Enter that ends a composition does not send', limit, () =>
  visit({}, async (page) => {
    const cdp = await page.context().newCDPSession(page);
    await composer(page).click();
    await cdp.send('Input.imeSetComposition', { text: 'ni', selectionStart: 2, selectionEnd: 2 });
    await cdp.send('Input.dispatchKeyEvent', { type: 'keyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 229 });
    await cdp.send('Input.insertText', { text: '你好' });
    assert.equal(await composer(page).inputValue(), '你好');
    assert.equal(await answers(page).count(), 0);
    await composer(page).press('Enter');
    await answers(page).first().waitFor();
  }));

const PHONE = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };
for (const size of ['desktop', 'phone']) {
  for (const colorScheme of ['light', 'dark']) {
    for (const locale of ['en-US', 'zh-CN']) {
      const name = `${size}-${colorScheme}-${locale.slice(0, 2)}`;
      test(`axe finds nothing: ${name}`, limit, () =>
        visit({ axe: true, colorScheme, locale, ...(size === 'phone' ? PHONE : {}) }, async (page) => {
          assert.deepEqual(await violations(page), [], 'empty');
          await shot(page, `welcome-${name}`);
          await play(line('', { thinking: 'hm' }), line('# A title\n\nSome `code` and **words**.\n\n```js\nlet a = 1;\n```\n'), END);
          await composer(page).fill(locale === 'zh-CN' ? '你好' : 'Hello');
          // A phone keyboard's Enter makes a new line; the button sends.
          await page.locator('form button[type=submit]').click();
          await answers(page).last().getByText('A title').waitFor();
          await answers(page).last().getByText(/18 (tokens|个词元)/).waitFor();
          assert.deepEqual(await violations(page), [], 'with an answer');
          assert.equal(await page.evaluate(() => document.documentElement.lang.slice(0, 2)), locale.slice(0, 2));
          assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'no sideways scrolling');
          await shot(page, `answer-${name}`);
        }));
    }
  }
}
