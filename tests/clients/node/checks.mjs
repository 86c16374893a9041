// What every script of this folder stands on: a list of checks, where each asks, and one JSON line a check. The same as `checks.py` in
// the other folder, word for word where the languages allow it.
//
// Never here: expectations. A script says what its client returned or raised; `expected.py` says what that must be.
import dns from 'node:dns';
import fs from 'node:fs';
import net from 'node:net';

const CHECKS = new Map();
const FOREIGN = new Set();
export const GIVEN = {};

/** Registers a function for checks of one surface or several (`'chat responses'`). */
export function check(surfaces, names, ask) {
  for (const surface of surfaces.split(' ')) {
    for (const name of names.split(' ')) {
      if (CHECKS.has(`${surface} ${name}`)) throw new Error(`twice: ${surface} ${name}`);
      CHECKS.set(`${surface} ${name}`, ask);
    }
  }
}

/** What an ask raised, as `told` reads it; an ask that raises nothing is told as such. */
export async function raised(ask, told) {
  let got;
  try {
    got = await ask();
  } catch (error) {
    return told(error);
  }
  return { raised: null, got: JSON.stringify(got)?.slice(0, 300) };
}

/** Reads a stream until it raises: the text before, and whether it did. */
export async function untilBroken(open, textOf) {
  let text = '';
  try {
    for await (const piece of await open()) text += textOf(piece) ?? '';
  } catch (error) {
    return { text, raised: true, name: error.constructor.name };
  }
  return { text, raised: false };
}

export async function listOf(stream) {
  const all = [];
  for await (const piece of await stream) all.push(piece);
  return all;
}

export const retryAfter = (headers) => {
  const after = headers?.get ? headers.get('retry-after') : headers?.['retry-after'];
  return after != null && Number(after) >= 1 && Number(after) <= 60;
};

// Nothing may leave this machine: a client that looks for a table or a price list elsewhere would hide a failure.
const home = (host) => ['127.0.0.1', 'localhost', '::1', undefined, null].includes(host);
function stayHome() {
  const { connect } = net.Socket.prototype;
  net.Socket.prototype.connect = function (...given) {
    const [options] = Array.isArray(given[0]) ? given[0] : given;
    if (options && typeof options === 'object' && !options.path && !home(options.host)) {
      FOREIGN.add(String(options.host));
      throw new Error(`not on this machine: ${options.host}`);
    }
    return connect.apply(this, given);
  };
  const { lookup } = dns;
  dns.lookup = (host, ...rest) => {
    if (!home(host)) FOREIGN.add(host);
    return lookup(home(host) ? host : '127.0.0.1', ...rest);
  };
}

function say(place, what) {
  const { upstream, surface, check: name } = place;
  process.stdout.write(`${JSON.stringify({ upstream, surface, check: name, ...what })}\n`);
}

async function one(place) {
  try {
    say(place, { got: await CHECKS.get(`${place.surface} ${place.check}`)(place) });
  } catch (error) {
    // A check that fails must not take the others along.
    say(place, { failed: String(error?.stack ?? error).slice(0, 3000) });
  }
}

export async function main() {
  const orders = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
  Object.assign(GIVEN, orders.given);
  stayHome();
  const waiting = [...orders.places];
  const work = async () => {
    while (waiting.length > 0) await one(waiting.shift());
  };
  await Promise.all(Array.from({ length: orders.threads }, work));
  process.stdout.write(`${JSON.stringify({ foreign: [...FOREIGN].sort() })}\n`, () => process.exit(0));
}

/** The client itself, from the generation that is to be proved. */
export const version = JSON.parse(process.env.CLIENT ?? '{}');
