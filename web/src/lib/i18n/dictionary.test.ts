/** Dictionaries: same keys, nothing empty, every text used, and the choice of language. */
import { describe, expect, it } from 'vitest';
import { SERVER_CODES } from '../http';
import { en } from './en';
import { i18n, pick } from './index.svelte';
import { script } from './script';
import { zh } from './zh';

function leaves(node: object, path = ''): [string, unknown][] {
  return Object.entries(node).flatMap(([key, value]) =>
    typeof value === 'object' && value !== null
      ? leaves(value, `${path}${key}.`)
      : [[`${path}${key}`, value]],
  );
}

const sources = Object.values(
  import.meta.glob(['../../**/*.svelte', '../**/*.ts', '!../**/*.test.ts', '!./en.ts', '!./zh.ts'], {
    query: '?raw',
    import: 'default',
    eager: true,
  }),
).join('\n');

describe('dictionaries', () => {
  it('have the same keys and the same kinds of texts', () => {
    // The server's own sentences are English: only other languages hold them.
    const shape = (dictionary: object) =>
      leaves(dictionary)
        .filter(([path]) => !path.includes('.server.'))
        .map(([path, value]) => `${path}: ${typeof value}`);
    expect(shape(zh)).toEqual(shape(en));
  });

  it('have a sentence for every failure of the server that is listed', () => {
    expect(Object.keys(zh.failure.server).sort()).toEqual([...SERVER_CODES].sort());
  });

  it.each([
    ['en', en],
    ['zh', zh],
  ])('%s: no text is empty, also when made', (_, dictionary) => {
    for (const [path, value] of leaves(dictionary)) {
      const text = typeof value === 'function' ? String(value('3', '4')) : String(value);
      expect(text.trim(), path).not.toBe('');
      expect(text, path).not.toMatch(/undefined|NaN|\[object/);
    }
  });

  it.each(leaves(en).map(([path]) => path))('%s is used', (path) => {
    const [group = '', ...rest] = path.split('.');
    const name = rest.at(-1) ?? group;
    // Some are looked up by a value: groups of days, refusals, codes.
    const byValue = /^(nav\.(today|yesterday|week|earlier)|composer\.refused|failure\.texts|notice)/.test(
      path,
    );
    expect(byValue || new RegExp(`\\.${name}\\b`).test(sources)).toBe(true);
  });

  it('the Chinese one is Chinese', () => {
    const latin = leaves(zh).filter(
      ([path, value]) => typeof value === 'string' && path !== 'lang' && !/[\u4e00-\u9fff]/.test(value),
    );
    expect(latin).toEqual([]);
  });

  it('English counts and places', () => {
    expect([1, 2, 3, 4, 11, 22].map((n) => en.status.queued(n))).toEqual([
      'Next in line', 'In line: 2nd', 'In line: 3rd', 'In line: 4th', 'In line: 11th', 'In line: 22nd',
    ]); // prettier-ignore
    expect(en.status.ready(1)).toBe('Answer ready, 1 word.');
    expect(en.status.ready(1234)).toBe('Answer ready, 1,234 words.');
  });
});

describe('the language', () => {
  it.each([
    ['zh', 'en', ['en'], 'zh'],
    [null, 'zh', ['en'], 'zh'],
    [null, '', ['fr-FR', 'zh-TW', 'en'], 'zh'],
    ['xx', 'yy', ['fr'], 'en'],
    ['__proto__', 'toString', [], 'en'],
  ] as const)('choice %s, server %s, browser %j: %s', (chosen, server, wanted, expected) => {
    expect(pick(chosen, server, wanted)).toBe(expected);
  });
});

describe('formats', () => {
  it.each([
    [0, '0:00'],
    [7_900, '0:07'],
    [83_000, '1:23'],
    [3_723_000, '1:02:03'],
    [-5, '0:00'],
  ])('%d ms is %s', (ms, text) => expect(i18n.clock(ms)).toBe(text));

  it('counts words also where no spaces are', () => {
    expect(i18n.words('one two, three.')).toBe(3);
    expect(i18n.words('滑动窗口统计请求')).toBeGreaterThan(1);
  });
});

describe('script', () => {
  it.each([
    ['滑动窗口统计', 'zh-CN'],
    ['これは日本語です', 'ja'],
    ['한국어 문장입니다', 'ko'],
    ['plain English', null],
    ['English with one 字', null],
  ])('%s', (text, lang) => expect(script(text)).toBe(lang));
});
