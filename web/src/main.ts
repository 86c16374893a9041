/** The entry: theme and language first, because the page is painted only after this module has run; then the app. */
import { mount } from 'svelte';
import './app.css';
import './prose.css';
import App from './App.svelte';
import { i18n } from './lib/i18n/index.svelte';
import { theme } from './lib/theme.svelte';

theme.start();
i18n.start();

const target = document.getElementById('app');
if (target) mount(App, { target });
