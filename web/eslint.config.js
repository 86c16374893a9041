// Lint rules. The two that matter most keep HTML strings out of the page: svelte/no-at-html-tags and no-unsanitized.
import noUnsanitized from 'eslint-plugin-no-unsanitized';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

export default ts.config(
  { ignores: ['dist', 'node_modules', 'dev/shots'] },
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  noUnsanitized.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
    rules: {
      'svelte/no-at-html-tags': 'error',
      'svelte/no-navigation-without-resolve': 'off', // a SvelteKit rule; this page has no SvelteKit router
      'no-restricted-properties': [
        'error',
        { property: 'innerHTML', message: 'Build nodes; no HTML string exists in this page.' },
        { property: 'outerHTML', message: 'Build nodes; no HTML string exists in this page.' },
        { property: 'insertAdjacentHTML', message: 'Build nodes; no HTML string exists in this page.' },
      ],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } },
  },
  {
    files: ['scripts/**', 'dev/**'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.test.ts'],
    rules: { 'no-restricted-properties': 'off', 'no-unsanitized/property': 'off' },
  },
);
