/**
 * Build of the page: one module, one style sheet, one lazy worker, all under assets/NAME-HASH.ext.
 * Relative URLs (`base: './'`) let the same files serve at `/` and under any sub-path.
 */
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Lets the module run before the first paint, so that a chosen theme or language never flashes. */
function blockingEntry(): Plugin {
  return {
    name: 'blocking-entry',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler: (html) => html.replace('<script type="module"', '<script type="module" blocking="render"'),
    },
  };
}

export default defineConfig({
  base: './',
  plugins: [svelte(), blockingEntry()],
  build: {
    target: 'es2023',
    cssTarget: ['chrome123', 'safari17.5', 'firefox120'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
  resolve: process.env['VITEST'] ? { conditions: ['browser'] } : {},
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.ts'],
    restoreMocks: true,
  },
});
