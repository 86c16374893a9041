/** The small pure pieces: days, addresses, drafts, shortcuts, rates, waiting times. */
import { beforeEach, describe, expect, it } from 'vitest';
import { grouped, groupOf } from './chat/days';
import { estimateTokens, Rate } from './chat/rate';
import { randomId } from './chat/small';
import { backoffMs } from './chat/stream';
import { loadDraft, saveDraft } from './composer/drafts';
import { fit, isImageType } from './composer/images';
import { apiUrl, readFailure } from './http';
import { hrefOf, readChatId } from './router.svelte';
import { shortcutOf } from './shortcuts';

describe('days of the list', () => {
  const now = new Date(2026, 2, 10, 0, 30).getTime();
  const ago = (hours: number): number => now - hours * 3_600_000;

  it.each([
    [0.4, 'today'],
    [0.6, 'yesterday'],
    [24, 'yesterday'],
    [25, 'week'],
    [24 * 7, 'week'],
    [24 * 8, 'earlier'],
  ])('half past midnight, %d hours ago: %s', (hours, group) => expect(groupOf(ago(hours), now)).toBe(group));

  it('keeps the order within and between groups', () => {
    const list = [0.1, 0.2, 30, 900].map((hours, i) => ({
      id: String(i),
      title: '',
      updated_at: ago(hours),
    }));
    expect(grouped(list, now).map(([group, members]) => [group, members.map((chat) => chat.id)])).toEqual([
      ['today', ['0', '1']],
      ['week', ['2']],
      ['earlier', ['3']],
    ]);
  });
});

describe('the address bar', () => {
  it.each(['abc', 'a/b', 'a b?#', '中'])('chat %s survives', (id) => expect(readChatId(hrefOf(id))).toBe(id));
  it.each(['', '#/', '#/x/a', '#/c/', '#/c/%E0%A4%A', `#/c/${'x'.repeat(300)}`])('%j is no chat', (hash) =>
    expect(readChatId(hash)).toBeNull());
}); // prettier-ignore

describe('apiUrl', () => {
  beforeEach(() => {
    delete document.documentElement.dataset['base'];
  });
  it.each(['/team/chat/', '/team/chat'])('base %s', (base) => {
    document.documentElement.dataset['base'] = base;
    expect(new URL(apiUrl('api/setup')).pathname).toBe('/team/chat/api/setup');
  });
});

describe('readFailure', () => {
  it.each([null, [], 'text', {}, { message: 5 }])('%j is none', (value) =>
    expect(readFailure(value)).toBeNull(),
  );
  it('bounds a wait that makes no sense', () => {
    expect(readFailure({ message: 'm', retry_after_s: 1e12 })?.retry_after_s).toBe(86_400);
    expect(readFailure({ message: 'm', retry_after_s: Number.NaN })?.retry_after_s).toBeNull();
  });
});

describe('drafts', () => {
  it('are kept per chat, replaced, removed, and bounded', () => {
    saveDraft('a', 'one');
    saveDraft('b', 'two');
    saveDraft('a', 'three');
    expect([loadDraft('a'), loadDraft('b'), loadDraft('c')]).toEqual(['three', 'two', '']);
    saveDraft('b', '');
    expect(loadDraft('b')).toBe('');
    for (let i = 0; i < 60; i += 1) saveDraft(`n${i}`, 'x');
    expect(loadDraft('a')).toBe('');
    expect(JSON.parse(localStorage.getItem('gatehouse.drafts') ?? '[]')).toHaveLength(50);
  });
});

describe('shortcuts', () => {
  const press = (init: KeyboardEventInit) => shortcutOf(new KeyboardEvent('keydown', init));
  it.each<[KeyboardEventInit, string | null]>([
    [{ key: 'O', code: 'KeyO', ctrlKey: true, shiftKey: true }, 'new_chat'],
    [{ key: 'o', code: 'KeyO', metaKey: true, shiftKey: true }, 'new_chat'],
    [{ key: 'o', code: 'KeyO', ctrlKey: true }, null],
    [{ key: 'Escape' }, 'stop'],
    [{ key: 'Escape', shiftKey: true }, 'focus'],
    [{ key: 'Escape', isComposing: true }, null],
    [{ key: '/', ctrlKey: true }, 'list'],
    [{ key: '/' }, null],
  ])('%j', (init, shortcut) => expect(press(init)).toBe(shortcut));
});

describe('rates and waits', () => {
  it('a CJK character weighs more than a Latin one', () => {
    expect(estimateTokens('abcd')).toBe(1);
    expect(estimateTokens('中文')).toBeCloseTo(1.4);
  });

  it('speaks only after half a second, and of the last three', () => {
    const rate = new Rate();
    rate.add('x'.repeat(4000), 0);
    rate.add('abcd', 400);
    expect(rate.perSecond()).toBeNull();
    for (let at = 5000; at <= 8000; at += 100) rate.add('abcdabcd', at);
    expect(rate.perSecond()).toBeCloseTo(20, 0);
  });

  it('backs off to 15 s, spread', () => {
    expect([0, 1, 2, 9, 500].map((attempt) => backoffMs(attempt, () => 0))).toEqual([
      500, 1000, 2000, 15_000, 15_000,
    ]);
    expect(backoffMs(0, () => 1)).toBe(625);
  });

  it('ids are 128 random bits and need no secure context', () => {
    expect(randomId()).toMatch(/^[0-9a-f]{32}$/);
    expect(randomId()).not.toBe(randomId());
  });
});

describe('pictures', () => {
  it('fit the edge and keep their proportions', () => {
    expect(fit(4096, 1024)).toEqual({ width: 2048, height: 512 });
    expect(fit(100, 50)).toEqual({ width: 100, height: 50 });
    expect(fit(100_000, 1)).toEqual({ width: 2048, height: 1 });
  });
  it('are of three types', () => {
    expect(['image/png', 'image/svg+xml', 'image/gif', 'text/html', ''].map(isImageType)).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});
