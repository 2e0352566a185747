// Starts the programs under test and reads what they print. Everything here waits for an event with
// a deadline; nothing sleeps. Whatever a test starts ends with it, also when it fails.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const deadlineMs = 20_000;

const running = new Set();
function killAll() {
  for (const child of running) child.kill('SIGKILL');
}
process.on('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    killAll();
    process.exit(1);
  });
}

// The promise's result, or an error that tells what was waited for.
export async function within(promise, what, ms = deadlineMs) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      const detail = typeof what === 'function' ? what() : what;
      reject(new Error(`not within ${ms} ms: ${detail}`));
    }, ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Values that come one after the other and are taken in that order, by one taker at a time.
export class Inbox {
  #values = [];
  #wake = null;
  #end = null;

  put(value) {
    this.#values.push(value);
    this.#wake?.();
  }

  // No more values come; who waits for one learns why.
  finish(why) {
    this.#end = why;
    this.#wake?.();
  }

  get waiting() {
    return [...this.#values];
  }

  async take(what, ms = deadlineMs) {
    const end = Date.now() + ms;
    while (this.#values.length === 0) {
      if (this.#end) throw new Error(`waiting for ${what}: ${this.#end}`);
      const woken = new Promise((resolve) => { this.#wake = resolve; });
      await within(woken, what, Math.max(1, end - Date.now()));
    }
    return this.#values.shift();
  }
}

function binary(name) {
  const directory = process.env.PUSHHUB_BIN_DIR;
  if (!directory) throw new Error('PUSHHUB_BIN_DIR must name the directory of the built programs');
  const path = join(directory, name);
  if (!existsSync(path)) throw new Error(`${path} does not exist, build it first`);
  return path;
}

function spawnProgram(name, args) {
  const child = spawn(binary(name), args, { stdio: ['pipe', 'pipe', 'pipe'] });
  running.add(child);
  child.stdin.on('error', () => {});  // the program may end before it has read everything
  const exited = new Promise((resolve) => {
    // 'close' and not 'exit': all that the program printed has been read then.
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  return { child, exited };
}

// Runs a program that ends by itself, e.g. because of its flags.
export async function runProgram(name, args) {
  const { child, exited } = spawnProgram(name, args);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => { stdout += chunk; });
  child.stderr.setEncoding('utf8').on('data', (chunk) => { stderr += chunk; });
  try {
    const { code, signal } = await within(exited, `${name} ${args.join(' ')} ends`);
    return { code, signal, stdout, stderr };
  } finally {
    child.kill('SIGKILL');
  }
}

// A program that runs until it is stopped.
export class Program {
  // It is stopped when the test `t` ends.
  static start(t, name, args = []) {
    const program = new this(name, args);
    t.after(() => program.kill());
    return program;
  }

  // Lines that tell events, and the answers to commands, each in their order.
  events = new Inbox();
  answers = new Inbox();
  printed = [];
  stderr = '';

  constructor(name, args) {
    this.name = name;
    const { child, exited } = spawnProgram(name, args);
    this.child = child;
    this.exited = exited;
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      for (const line of lines) this.#put(line);
    });
    child.stderr.setEncoding('utf8').on('data', (chunk) => { this.stderr += chunk; });
    exited.then(({ code, signal }) => {
      const why = `${name} ended, code ${code}, signal ${signal}, stderr: ${this.stderr}`;
      this.events.finish(why);
      this.answers.finish(why);
    });
  }

  #put(line) {
    this.printed.push(line);
    if (line.startsWith('page on ')) {
      this.page = line.slice('page on '.length);
    } else if (/^(sent|online|unknown) /.test(line)) {
      this.answers.put(line);
    } else {
      this.events.put(line);
    }
  }

  // The next event, which has to begin like this.
  async event(start) {
    const line = await this.events.take(`a line '${start}…'`);
    if (!line.startsWith(start)) throw new Error(`wanted '${start}…', got '${line}'`);
    return line;
  }

  // The next event that matches; others are passed over.
  async eventually(pattern) {
    for (;;) {
      const line = await this.events.take(`a line like ${pattern}`);
      if (pattern.test(line)) return line;
    }
  }

  async command(line) {
    this.child.stdin.write(`${line}\n`);
    return this.answers.take(`the answer to '${line}'`);
  }

  // Ends the program as an operator would, and tells how it ended.
  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return within(this.exited, () => `${this.name} ends after ${signal}, it printed:\n` +
      `${this.printed.slice(-10).join('\n')}\n${this.stderr}`);
  }

  async kill() {
    if (running.has(this.child)) this.child.kill('SIGKILL');
    await within(this.exited, `${this.name} is gone`);
  }
}

// A program that tells its address in its first line.
export class Server extends Program {
  static async start(t, name, args = []) {
    const server = super.start(t, name, args);
    const first = await server.events.take('the address that is listened on');
    const match = /^listening on (wss?:\/\/(\S+:(\d+)))\/\S*$/.exec(first);
    if (!match) throw new Error(`first line of ${name}: ${first}`);
    server.base = match[1];
    server.authority = match[2];
    server.port = Number(match[3]);
    return server;
  }

  url(path) {
    return this.base + path;
  }
}
