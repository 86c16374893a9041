// Compiler options shared by the build and svelte-check. Runes everywhere: one reactivity model in the whole page.
export default {
  compilerOptions: { runes: true },
};
