// A Chromium page that remembers everything it should not do: console errors, foreign requests, broken policies, dialogs.
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const require = createRequire(import.meta.url);
const AXE = require.resolve('axe-core/axe.min.js');

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking'],
      // A name that nobody resolves, and a certificate that only the tests trust.
      ...JSON.parse(process.env.CHROMIUM_ARGS ?? '[]'),
    ],
  });

/** A context and its page. `sins` fills up while the page lives; it must be empty at the end. */
export async function open(browser, url, options = {}) {
  const { axe = false, ...context } = options;
  const made = await browser.newContext({ locale: 'en-US', colorScheme: 'light', ...context });
  const page = await made.newPage();
  const sins = [];
  const own = new URL(url).origin;
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) sins.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => sins.push(`exception: ${error.message}`));
  page.on('dialog', (dialog) => {
    sins.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    const target = request.url();
    if (!target.startsWith(own) && !/^(data|blob):/.test(target)) sins.push(`foreign request: ${target}`);
  });
  await page.exposeFunction('__sin', (text) => sins.push(text));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      window.__sin(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  // An init script is the browser's own and not subject to the page's policy, which stays in force.
  if (axe) await page.addInitScript({ path: AXE });
  await page.goto(url);
  return { page, sins, close: () => made.close() };
}

/** Violations that axe finds, one line each. */
export async function violations(page) {
  const found = await page.evaluate(async () => {
    const result = await window.axe.run(document, { resultTypes: ['violations'] });
    return result.violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.map((n) => n.html) }));
  });
  return found.map((v) => `${v.id} (${v.impact}): ${v.nodes.slice(0, 3).join(' | ')}`);
}

export const composer = (page) => page.getByRole('textbox').last();

export async function send(page, text) {
  await composer(page).fill(text);
  await composer(page).press('Enter');
}

export const answers = (page) => page.locator('article.assistant');
