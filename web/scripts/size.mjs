// The size gate: what a first visit loads must stay small. Fails the build when it does not.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const DIST = new URL('../dist/', import.meta.url).pathname;
const KIB = 1024;
const BUDGET_BYTES = { 'first load JS': 55 * KIB, 'first load CSS': 12 * KIB, everything: 400 * KIB };

function brotliBytes(path) {
  return brotliCompressSync(readFileSync(path), { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
}

const html = readFileSync(join(DIST, 'index.html'), 'utf8');
const first = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map((match) => match[1]);
const sizes = { 'first load JS': 0, 'first load CSS': 0, everything: 0 };
for (const name of new Set(first)) {
  if (name.endsWith('.js')) sizes['first load JS'] += brotliBytes(join(DIST, name));
  if (name.endsWith('.css')) sizes['first load CSS'] += brotliBytes(join(DIST, name));
}
for (const name of readdirSync(join(DIST, 'assets')))
  sizes['everything'] += brotliBytes(join(DIST, 'assets', name));

let failed = first.length === 0;
if (failed) console.error('index.html names no assets');
if (/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/i.test(html)) {
  console.error('index.html carries inline script or style');
  failed = true;
}
for (const [what, bytes] of Object.entries(sizes)) {
  const over = bytes > BUDGET_BYTES[what];
  failed ||= over;
  console.log(
    `${over ? 'TOO BIG' : 'ok'}  ${what}: ${(bytes / KIB).toFixed(1)} of ${BUDGET_BYTES[what] / KIB} KiB (brotli)`,
  );
}
process.exit(failed ? 1 : 0);
